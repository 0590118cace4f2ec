"use strict";
// What a page asks of the perceptron: first weights, all that an update holds inside, and the training with its stops.
// A task is { layers, inputs, targets, learningRate, seed, dtype, updates }, inputs and targets as lists of rows.

const SMALLEST = { float64: 2 ** -1022, float32: 2 ** -126 };
const LARGEST = { float64: Number.MAX_VALUE, float32: (2 - 2 ** -23) * 2 ** 127 };
const SLICE = 25; // milliseconds of training between two looks at the weights

// As NumPy draws them: uniform in [-1, 1), the float32 ones rounded.
function firstWeights({ layers, seed, dtype }) {
  const generator = new MT19937(seed), ops = new Reproducible(dtype);
  return layers.slice(1).map((columns, i) => ops.cast(new Matrix(layers[i], columns, Float64Array.from({ length: layers[i] * columns }, () => 2 * generator.randomSample() - 1))));
}

function matrixOf(rows, dtype) {
  return new Reproducible(dtype).cast(new Matrix(rows.length, rows[0].length, Float64Array.from(rows.flat())));
}

// The bytes of every weight, as equigrad hashes them: row by row, little-endian, first layer first.
function weightsHash(weights) {
  const wide = weights[0].data.BYTES_PER_ELEMENT, bytes = new Uint8Array(weights.reduce((sum, w) => sum + wide * w.data.length, 0)), view = new DataView(bytes.buffer);
  let at = 0;
  for (const w of weights) for (const v of w.data) { if (wide === 4) view.setFloat32(at, v, true); else view.setFloat64(at, v, true); at += wide; }
  return sha256(bytes);
}

const subnormal = (numbers, dtype) => numbers.some((v) => v !== 0 && Math.abs(v) < SMALLEST[dtype]);

// The first layer, from 1, whose weights are NaN or so large that a product may soon overflow; 0 if there is none.
function overflowing(weights) {
  return 1 + weights.findIndex((w) => { const most = Math.sqrt(LARGEST[w.data instanceof Float32Array ? "float32" : "float64"]); return !w.data.every((v) => Math.abs(v) <= most); });
}

// A task with its data as matrices.
class Training {
  constructor(task) {
    this.task = task;
    this.network = new Perceptron(task.dtype);
    this.x = matrixOf(task.inputs, task.dtype);
    this.y = matrixOf(task.targets, task.dtype);
    this.lr = this.network.ops.number(task.learningRate);
  }

  train(weights, n) { return this.network.train(weights, this.x, this.y, this.lr, n); }

  error(weights) {
    const a = this.network.predict(weights, this.x);
    return a.data.reduce((sum, v, i) => sum + Math.abs(this.y.data[i] - v), 0) / a.data.length;
  }

  // For each layer what one update holds, in the order of the page's QUANTITIES. The gradient is minus the product, so
  // w + change has the bits of w - lr * gradient, and no second update is needed for the weights after it.
  trace(weights) {
    const { ops } = this.network, layers = this.network.activations(weights, this.x), found = [];
    let error = ops.minus(this.y, layers.at(-1));
    for (let i = weights.length - 1; i >= 0; i--) {
      const a = layers[i + 1], delta = ops.times(error, ops.times(a, ops.oneMinus(a))), change = ops.scaled(this.lr, ops.dot(layers[i].transposed, delta));
      found.unshift([weights[i], ops.dot(layers[i], weights[i]), a, error, delta, change, ops.plus(weights[i], change)]);
      if (i > 0) error = ops.dot(delta, weights[i].transposed);
    }
    return found;
  }

  // Trains from `weights`, after `done` updates, and tells of each stop: { update, weights, moment, after, error }, the
  // weights before that update; between stops of the progress, { done }; at the end of { outputs }, or of { trouble }.
  run(weights, done, stops, part, tell) {
    for (const update of stops) {
      let n = 1;
      while (done < update - 1) {
        n = Math.min(n, update - 1 - done);
        const start = Date.now(), after = this.train(weights, n);
        if (overflowing(after)) { tell({ trouble: this.overflow(weights, done) }); return; }
        [weights, done] = [after, done + n];
        tell({ done });
        n = Date.now() - start < SLICE ? 2 * n : Math.max(1, n >> 1);
      }
      const inside = this.trace(weights), after = inside.map((layer) => layer[6]);
      if (overflowing(after)) { tell({ trouble: this.overflow(weights, done) }); return; }
      const [a, error] = [inside.at(-1)[2], inside.at(-1)[3]];
      tell({ update, weights, moment: this.moment(inside, part), after, error: error.data.reduce((sum, v) => sum + Math.abs(v), 0) / a.data.length });
      [weights, done] = [after, done + 1];
    }
    tell({ outputs: this.network.predict(weights, this.x) });
  }

  // Which update is the first at which weights overflow.
  overflow(weights, done) {
    for (;;) {
      [weights, done] = [this.train(weights, 1), done + 1];
      if (overflowing(weights)) return `the weights of layer ${overflowing(weights)} overflow at update ${done.toLocaleString("en")}: try a smaller learning rate`;
    }
  }

  // The shown rows and columns of each quantity, as lists of rows.
  moment(inside, { shown, units }) {
    const cut = (m, rows, columns) => rows.map((i) => columns.map((j) => m.data[i * m.columns + j]));
    return inside.map((layer, l) => layer.map((m, k) => cut(m, [0, 5, 6].includes(k) ? units[l] : shown, units[l + 1])));
  }
}
