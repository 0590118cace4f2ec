"use strict";
// In a worker of its own the training never holds up the page; the page ends the worker to stop it.
self.onmessage = ({ data: { id, task, weights, done, stops, part } }) => {
  try {
    const training = new Training(task);
    const held = weights ? weights.map((w) => new Matrix(w.rows, w.columns, w.data)) : firstWeights(task);
    let last = 0;
    training.run(held, done, stops, part, (news) => {
      if ("done" in news && Date.now() - last < 50) return;
      last = Date.now();
      self.postMessage({ id, ...news });
    });
    self.postMessage({ id, finished: true });
  } catch (error) {
    self.postMessage({ id, trouble: `the training stopped: ${error.message}` });
  }
};
