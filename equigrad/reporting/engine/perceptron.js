"use strict";
// The perceptron in JavaScript, its derivative written by hand: the same methods, in the same order, as the three backends.

class Perceptron {
  constructor(dtype) {
    this.ops = new Reproducible(dtype);
  }

  predict(weights, x) {
    return this.activations(weights, x).at(-1);
  }

  activations(weights, x) {
    const layers = [x];
    for (const w of weights) {
      layers.push(this.ops.sigmoid(this.ops.dot(layers.at(-1), w)));
    }
    return layers;
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
      const slope = this.ops.times(layers[i + 1], this.ops.oneMinus(layers[i + 1]));
      const delta = this.ops.times(error, slope);
      gradient.unshift(this.ops.scaled(-1, this.ops.dot(layers[i].transposed, delta)));
      if (i > 0) error = this.ops.dot(delta, weights[i].transposed);
    }
    return gradient;
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
