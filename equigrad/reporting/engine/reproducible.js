"use strict";
// The arithmetic of common/reproducible.py in JavaScript: + - * / on IEEE 754 doubles alone, in its order, hence its bits.
// No Math.exp, whose last bits each browser chooses for itself. A Float32Array rounds what is stored in it, as a cast does.

const LIMITS = { float64: [-700, 40], float32: [-80, 40] };
const LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.908214929270822e-10;
const C6 = 6.0000000000000115, C10 = 10.000000000309804, C14 = 14.000002528168245, C18 = 0.05552187750876665;
const INDEX_ORDER_TERMS = 16, INDEX_ORDER_SUMS = 4096;
const ROUNDING = 1.5 * 2 ** 52; // a number below 2**51 plus this has no place for a fraction: it is rounded to even

const POWERS = new Float64Array(2047);
for (let i = 1023, up = 1, down = 1; i < 2047; i++) { POWERS[i] = up; POWERS[2046 - i] = down; up *= 2; down /= 2; }
const power = (exponent) => POWERS[exponent + 1023];
const rint = (x) => x + ROUNDING - ROUNDING;

// rows x columns numbers, row by row, in a Float64Array or Float32Array.
class Matrix {
  constructor(rows, columns, data) { this.rows = rows; this.columns = columns; this.data = data; }

  get transposed() {
    const { rows, columns, data } = this, turned = new data.constructor(data.length);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[j * rows + i] = data[i * columns + j];
    return new Matrix(columns, rows, turned);
  }
}

class Reproducible {
  constructor(dtype) {
    this.dtype = dtype;
    this.single = dtype === "float32";
    [this.low, this.high] = LIMITS[dtype];
    this.Numbers = this.single ? Float32Array : Float64Array;
  }

  cast(a) { return new Matrix(a.rows, a.columns, this.Numbers.from(a.data)); }
  number(value) { return this.single ? Math.fround(value) : value; }

  // Element by element, each result rounded once.
  plus(a, b) { const c = new this.Numbers(a.data.length); for (let i = 0; i < c.length; i++) c[i] = a.data[i] + b.data[i]; return new Matrix(a.rows, a.columns, c); }
  minus(a, b) { const c = new this.Numbers(a.data.length); for (let i = 0; i < c.length; i++) c[i] = a.data[i] - b.data[i]; return new Matrix(a.rows, a.columns, c); }
  times(a, b) { const c = new this.Numbers(a.data.length); for (let i = 0; i < c.length; i++) c[i] = a.data[i] * b.data[i]; return new Matrix(a.rows, a.columns, c); }
  scaled(factor, a) { const c = new this.Numbers(a.data.length); for (let i = 0; i < c.length; i++) c[i] = factor * a.data[i]; return new Matrix(a.rows, a.columns, c); }
  oneMinus(a) { const c = new this.Numbers(a.data.length); for (let i = 0; i < c.length; i++) c[i] = 1 - a.data[i]; return new Matrix(a.rows, a.columns, c); }

  sigmoid(x) { const c = new this.Numbers(x.data.length); for (let i = 0; i < c.length; i++) c[i] = this.sigmoidOf(x.data[i]); return new Matrix(x.rows, x.columns, c); }

  // 1 / (1 + exp(-z)): z = k ln 2 + r, and exp(r) = (R + r) / (R - r) with R from Lambert's continued fraction.
  sigmoidOf(x) {
    const z = x < this.low ? this.low : x > this.high ? this.high : x;
    const k = rint(z * 1.4426950408889634);
    const r = z - k * LN2_HIGH - k * LN2_LOW, t = r * r;
    const R = 2 + t / (C6 + t / (C10 + t / (C14 + t * C18)));
    const a = (R + r) * power(k);
    return this.number(a / (R - r + a));
  }

  // The matrix product of a (N, K) and b (K, M); shapes alone decide the way.
  dot(a, b) {
    const small = a.columns <= INDEX_ORDER_TERMS && a.rows * b.columns <= INDEX_ORDER_SUMS;
    return small ? this.indexOrderDot(a, b) : this.slicedDot(a, b);
  }

  // Rounded products, added in the order k = 0, 1, 2, ...
  indexOrderDot(a, b) {
    const { data: A, rows: N, columns: K } = a, { data: B, columns: M } = b, { single } = this, c = new this.Numbers(N * M);
    for (let i = 0; i < N; i++) {
      for (let j = 0; j < M; j++) {
        let total = A[i * K] * B[j];
        if (single) total = Math.fround(total);
        for (let k = 1; k < K; k++) {
          const product = A[i * K + k] * B[k * M + j];
          total = single ? Math.fround(total + Math.fround(product)) : total + product;
        }
        c[i * M + j] = total;
      }
    }
    return new Matrix(N, M, c);
  }

  // Through slices whose products and sums are integers below 2**53, so exact in any order.
  slicedDot(a, b) {
    const [aBits, aCount, bBits, bCount] = this.sliceWidths(a.columns);
    const left = slices(a, aBits, aCount), right = slices(b.transposed, bBits, bCount), M = b.columns;
    const bSlices = right.slices.map((s) => s.transposed.data), c = new this.Numbers(a.rows * M), total = new Float64Array(M), part = new Float64Array(M);
    for (let i = 0; i < a.rows; i++) {
      for (let order = bCount - 1; order >= 0; order--) {
        part.fill(0);
        for (let s = 0; s < aCount && s <= order; s++) {
          const row = left.slices[s].data, other = bSlices[order - s];
          for (let k = 0; k < a.columns; k++) {
            const v = row[i * a.columns + k];
            if (v !== 0) for (let j = 0, at = k * M; j < M; j++, at++) part[j] += v * other[at];
          }
        }
        for (let j = 0; j < M; j++) total[j] = order === bCount - 1 ? part[j] : total[j] * power(-bBits) + part[j];
      }
      for (let j = 0; j < M; j++) c[i * M + j] = total[j] * power(left.exponents[i] - aBits) * power(right.exponents[j] - bBits);
    }
    return new Matrix(a.rows, M, c);
  }

  // Bits and number of slices of a, and of b, such that `terms` products of a few slices add up exactly.
  sliceWidths(terms) {
    if (this.single) return [25, 1, 53 - bitLength(terms - 1) - 25, 2];
    const bits = Math.floor((53 - bitLength(3 * terms - 1)) / 2);
    return [bits, 3, bits, 3];
  }
}

const bitLength = (n) => 32 - Math.clz32(n);

// Each row as the sum of slices[i] * 2**(-bits * (i + 1)), times 2**exponent, and a rest.
function slices(a, bits, count) {
  const found = Array.from({ length: count }, () => new Float64Array(a.data.length)), exponents = [];
  for (let i = 0; i < a.rows; i++) {
    const from = i * a.columns, to = from + a.columns;
    let largest = 0;
    for (let k = from; k < to; k++) { const size = a.data[k] < 0 ? -a.data[k] : a.data[k]; if (size > largest) largest = size; }
    const e = exponent(largest);
    exponents.push(e);
    for (let k = from; k < to; k++) {
      let rest = a.data[k] * power(bits - e);
      for (let s = 0; s < count; s++) { found[s][k] = rint(rest); rest = (rest - found[s][k]) * power(bits); }
    }
  }
  return { slices: found.map((data) => new Matrix(a.rows, a.columns, data)), exponents };
}

// The least e with largest < 2**e, read from the bits, and kept to where every power of two made of it is normal.
const pattern = new DataView(new ArrayBuffer(8));
function exponent(largest) {
  pattern.setFloat64(0, largest);
  return Math.max(-960, Math.min(960, (pattern.getUint16(0) >> 4) - 1022));
}
