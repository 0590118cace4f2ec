"use strict";
// The perceptron in JavaScript, its derivative written by hand: the same methods, in the same order, as the three backends.

class Perceptron {
  constructor(dtype) {
    this.ops = new Reproducible(dtype);
  }

  activations(weights, x) {
    const layers = [x];
    for (const w of weights) {
      layers.push(this.ops.sigmoid(this.ops.dot(layers.at(-1), w)));
    }
    return layers;
  }

  predict(weights, x) {
    return this.activations(weights, x).at(-1);
  }

  loss(weights, x, y) {
    const error = this.ops.minus(y, this.predict(weights, x));
    return this.ops.times(error, error).data.reduce((sum, square) => sum + square, 0) / 2;
  }

  gradient(weights, x, y) {
    const layers = this.activations(weights, x);
    let error = this.ops.minus(y, layers.at(-1));
    const gradient = [];
    for (let i = weights.length - 1; i >= 0; i--) {
      const a = layers[i + 1];
      const delta = this.ops.times(error, this.ops.times(a, this.ops.oneMinus(a))); // the sigmoid's slope is a (1 - a)
      gradient.push(this.ops.scaled(-1, this.ops.dot(layers[i].transposed, delta)));
      if (i > 0) error = this.ops.dot(delta, weights[i].transposed);
    }
    return gradient.reverse();
  }

  update(weights, x, y, lr) {
    const gradient = this.gradient(weights, x, y);
    return weights.map((w, i) => this.ops.minus(w, this.ops.scaled(lr, gradient[i])));
  }

  train(weights, x, y, lr, n) {
    for (let i = 0; i < n; i++) weights = this.update(weights, x, y, lr);
    return weights;
  }
}
