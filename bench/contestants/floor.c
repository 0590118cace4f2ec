/* The floor: the same updates with nothing around them. Compiled by floor.py for one problem, with
 *   REAL      double or float
 *   SAMPLES   a power of two: one vector holds one number of every sample
 *   INPUTS, HIDDEN, OUTPUTS   the layers' sizes; HIDDEN 0 for a network of one layer
 *   POLYNOMIAL   1 for an exp made of vector operations, 0 for that of libm
 * so that every loop has a fixed length and the compiler unrolls it.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef REAL vector __attribute__((vector_size(SAMPLES * sizeof(REAL))));
#define FIRST (HIDDEN ? HIDDEN : OUTPUTS)

#if POLYNOMIAL /* exp(x) = 2**k exp(r) with |r| <= ln 2 / 2, where Taylor's polynomial of degree 11 does */
typedef int64_t bits __attribute__((vector_size(SAMPLES * sizeof(int64_t))));
static inline vector exponential(vector x) {
    const double shifter = 0x1.8p52; /* adding it rounds to an integer, in the lowest bits of the sum */
    vector shifted = x * 0x1.71547652b82fep0 + shifter;
    vector k = shifted - shifter;
    vector r = (x - k * 0x1.62e42fefa39efp-1) - k * 0x1.abc9e3b39803fp-56;
    vector r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
    vector low = ((1 + r) + r2 * (1.0 / 2 + r * (1.0 / 6))) +
                 r4 * ((1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040)));
    vector high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
    return (vector)((bits)(low + r8 * high) + ((bits)shifted << 52));
}
#else
static inline vector exponential(vector x) {
    vector result;
    for (int s = 0; s < SAMPLES; s++) result[s] = sizeof(REAL) == 4 ? expf(x[s]) : exp(x[s]);
    return result;
}
#endif

static inline void forward(int fan_in, int fan_out, const vector *a, const REAL *w, vector *out) {
    for (int j = 0; j < fan_out; j++) {
        vector z = a[0] * w[j];
        for (int k = 1; k < fan_in; k++) z += a[k] * w[k * fan_out + j];
        out[j] = 1 / (1 + exponential(-z));
    }
}

static inline void change(int fan_in, int fan_out, const vector *a, const vector *delta, REAL rate, REAL *w) {
    for (int k = 0; k < fan_in; k++)
        for (int j = 0; j < fan_out; j++) {
            vector product = a[k] * delta[j];
            REAL sum = 0;
            for (int s = 0; s < SAMPLES; s++) sum += product[s];
            w[k * fan_out + j] += rate * sum;
        }
}

/* x and y hold one row per column of the data; w holds the layers' weights one after the other. */
void train(const REAL *x, const REAL *y, REAL *weights, double rate, int64_t updates) {
    vector inputs[INPUTS], targets[OUTPUTS], first[FIRST], first_delta[FIRST];
    REAL w1[INPUTS * FIRST];
    memcpy(inputs, x, sizeof inputs);
    memcpy(targets, y, sizeof targets);
    memcpy(w1, weights, sizeof w1);
#if HIDDEN
    vector last[OUTPUTS], delta[OUTPUTS];
    REAL w2[HIDDEN * OUTPUTS];
    memcpy(w2, weights + INPUTS * HIDDEN, sizeof w2);
#endif
    for (int64_t i = 0; i < updates; i++) {
        forward(INPUTS, FIRST, inputs, w1, first);
#if HIDDEN
        forward(HIDDEN, OUTPUTS, first, w2, last);
        for (int j = 0; j < OUTPUTS; j++) delta[j] = (targets[j] - last[j]) * (last[j] * (1 - last[j]));
        for (int k = 0; k < HIDDEN; k++) {
            vector error = delta[0] * w2[k * OUTPUTS];
            for (int j = 1; j < OUTPUTS; j++) error += delta[j] * w2[k * OUTPUTS + j];
            first_delta[k] = error * (first[k] * (1 - first[k]));
        }
        change(HIDDEN, OUTPUTS, first, delta, rate, w2);
#else
        for (int j = 0; j < OUTPUTS; j++) first_delta[j] = (targets[j] - first[j]) * (first[j] * (1 - first[j]));
#endif
        change(INPUTS, FIRST, inputs, first_delta, rate, w1);
    }
    memcpy(weights, w1, sizeof w1);
#if HIDDEN
    memcpy(weights + INPUTS * HIDDEN, w2, sizeof w2);
#endif
}
