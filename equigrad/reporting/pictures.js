"use strict";
// Pictures of a training: the error by update, the decision surface, and for the digits what the hidden units look for.
const pictures = (() => {
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const channels = (name) => { const hex = color(name).slice(1); return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)); };
  const between = (a, b, t) => a.map((v, i) => v + (b[i] - v) * t);
  const plain = (v) => String(Number(v.toPrecision(3))).replace("-", "−");

  // Mean error by update on two logarithmic axes, with a mark at the update that is shown.
  function errorCurve(box, points, updates, at) {
    const W = Math.max(280, Math.min(560, box.parentElement.clientWidth - 36)), H = Math.round(W * 0.52), left = 46, right = 12, top = 10, bottom = 34;
    box.setAttribute("viewBox", `0 0 ${W} ${H}`);
    const known = points.filter((p) => p.error > 0), lowest = Math.min(...known.map((p) => p.error)), highest = Math.max(...known.map((p) => p.error));
    if (!known.length) { box.replaceChildren(svg("text", { class: "soft", x: W / 2, y: H / 2, "text-anchor": "middle" }, "Press Train.")); return; }
    const from = Math.floor(Math.log10(lowest)), to = Math.max(from + 1, Math.ceil(Math.log10(highest))), end = Math.max(1, Math.log10(updates));
    const X = (u) => left + (Math.log10(u) / end) * (W - left - right), Y = (e) => top + ((to - Math.log10(e)) / (to - from)) * (H - top - bottom);
    const parts = [], raised = (power) => (power >= 0 ? String(10 ** power) : (10 ** power).toFixed(-power));
    for (let p = from; p <= to; p += Math.ceil((to - from) / 5)) parts.push(svg("line", { x1: left, x2: W - right, y1: Y(10 ** p), y2: Y(10 ** p), stroke: "var(--line)" }), svg("text", { class: "soft", x: left - 6, y: Y(10 ** p) + 4, "text-anchor": "end" }, p < -4 ? `1e${p}` : raised(p)));
    for (let p = 0; p <= end; p += Math.ceil(end / 6)) parts.push(svg("line", { x1: X(10 ** p), x2: X(10 ** p), y1: top, y2: H - bottom, stroke: "var(--line)" }), svg("text", { class: "soft", x: X(10 ** p), y: H - bottom + 16, "text-anchor": X(10 ** p) > W - 30 ? "end" : "middle" }, (10 ** p).toLocaleString("en")));
    parts.push(svg("text", { class: "soft", x: W - right, y: H - 4, "text-anchor": "end" }, "before update"));
    parts.push(svg("path", { d: known.map((p, i) => `${i ? "L" : "M"}${X(p.update).toFixed(1)} ${Y(p.error).toFixed(1)}`).join(""), fill: "none", stroke: "var(--browser)", "stroke-width": 2.5, "stroke-linejoin": "round" }));
    const mark = known.find((p) => p.update === at) ?? known.at(-1);
    parts.push(svg("circle", { cx: X(mark.update), cy: Y(mark.error), r: 5.5, fill: "var(--panel)", stroke: "var(--browser)", "stroke-width": 3 }));
    const inRightHalf = X(mark.update) > W / 2;
    parts.push(svg("text", { class: "halo", x: X(mark.update) + (inRightHalf ? -9 : 10), y: Y(mark.error) - 10, "text-anchor": inRightHalf ? "end" : "start" }, plain(mark.error)));
    box.replaceChildren(svg("title", {}, "Error before each update"), ...parts);
    box.setAttribute("aria-label", `Mean absolute error before each update: ${plain(known[0].error)} before update 1, ${plain(mark.error)} before update ${mark.update.toLocaleString("en")}.`);
  }

  // What the network answers over two inputs, the others as in `base`.
  function surface(canvas, network, weights, { rows, targets, base, across, up, unit, coarse }) {
    const GRID = coarse ? 20 : 48; // while it trains, a picture must not hold up the page
    const reach = (c) => { const all = rows.map((r) => r[c]), low = Math.min(...all), high = Math.max(...all), room = (high - low || 1) * 0.35; return [low - room, high + room]; };
    const [x0, x1] = reach(across), [y0, y1] = reach(up), size = canvas.width, inputs = [];
    for (let i = 0; i <= GRID; i++) for (let j = 0; j <= GRID; j++) { const row = [...base]; row[across] = x0 + ((x1 - x0) * j) / GRID; row[up] = y1 - ((y1 - y0) * i) / GRID; inputs.push(row); }
    const out = network.predict(weights, matrixOf(inputs, network.ops.dtype)), value = (i, j) => out.data[(i * (GRID + 1) + j) * out.columns + unit];
    const image = new ImageData(GRID + 1, GRID + 1), low = channels("low"), middle = channels("panel"), high = channels("high");
    for (let i = 0; i <= GRID; i++) for (let j = 0; j <= GRID; j++) {
      const v = value(i, j), rgb = v < 0.5 ? between(low, middle, v * 2) : between(middle, high, v * 2 - 1);
      image.data.set([...rgb, 255], 4 * (i * (GRID + 1) + j));
    }
    const small = document.createElement("canvas"), ink = canvas.getContext("2d");
    small.width = small.height = GRID + 1;
    small.getContext("2d").putImageData(image, 0, 0);
    ink.imageSmoothingEnabled = true;
    ink.imageSmoothingQuality = "high";
    ink.drawImage(small, 0.5, 0.5, GRID, GRID, 0, 0, size, size);
    // the line of 1/2, cell by cell
    ink.strokeStyle = color("ink"); ink.lineWidth = 2; ink.beginPath();
    const cell = size / GRID;
    for (let i = 0; i < GRID; i++) for (let j = 0; j < GRID; j++) {
      const corners = [[i, j], [i, j + 1], [i + 1, j + 1], [i + 1, j]].map(([p, q]) => [p, q, value(p, q) - 0.5]), crossed = [];
      corners.forEach(([p, q, v], k) => { const [r, s, w] = corners[(k + 1) % 4]; if (v < 0 !== w < 0) { const t = v / (v - w); crossed.push([(q + t * (s - q)) * cell, (p + t * (r - p)) * cell]); } });
      for (let k = 0; k + 1 < crossed.length; k += 2) { ink.moveTo(...crossed[k]); ink.lineTo(...crossed[k + 1]); }
    }
    ink.stroke();
    const at = (row) => [((row[across] - x0) / (x1 - x0)) * size, ((y1 - row[up]) / (y1 - y0)) * size];
    ink.font = "600 13px system-ui, sans-serif"; ink.textBaseline = "middle";
    rows.slice(0, 64).forEach((row, k) => {
      const [x, y] = at(row);
      ink.beginPath(); ink.arc(x, y, 9, 0, 7);
      ink.fillStyle = `rgb(${between(low, high, Math.max(0, Math.min(1, targets[k][unit]))).join(" ")})`; ink.fill();
      ink.lineWidth = 3; ink.strokeStyle = color("panel"); ink.stroke();
      ink.lineWidth = 1.5; ink.strokeStyle = color("ink"); ink.stroke();
      if (rows.length <= 16) { ink.lineWidth = 4; ink.strokeStyle = color("panel"); ink.strokeText(String(k + 1), x + 13, y); ink.fillStyle = color("ink"); ink.fillText(String(k + 1), x + 13, y); }
    });
    canvas.setAttribute("aria-label", `Output over input ${across + 1}, ${plain(x0)} to ${plain(x1)}, and input ${up + 1}, ${plain(y0)} to ${plain(y1)}. ` + (rows.length <= 16 ? "Dots are the samples." : ""));
  }

  // An 8 x 8 picture: weights from negative to positive, or ink from none to full.
  function tile(ink, numbers, x, y, size, signed) {
    const most = Math.max(1e-9, ...numbers.map(Math.abs)), none = channels("panel"), plus = channels(signed ? "positive" : "ink"), minus = channels("negative"), cell = size / 8;
    numbers.forEach((v, k) => {
      ink.fillStyle = `rgb(${between(none, v < 0 ? minus : plus, Math.abs(v) / (signed ? most : 1)).map(Math.round).join(" ")})`;
      ink.fillRect(x + (k % 8) * cell, y + Math.floor(k / 8) * cell, cell + 0.5, cell + 0.5);
    });
  }
  function hiddenUnits(canvas, first) {
    const size = 48, gap = 8, across = 8, rows = Math.ceil(first.columns / across);
    canvas.width = across * (size + gap) - gap; canvas.height = rows * (size + gap) - gap;
    const ink = canvas.getContext("2d");
    for (let j = 0; j < first.columns; j++) tile(ink, Array.from({ length: 64 }, (_, i) => first.data[i * first.columns + j]), (j % across) * (size + gap), Math.floor(j / across) * (size + gap), size, true);
    canvas.setAttribute("aria-label", `The weights into each of ${first.columns} units, as pictures of 8 by 8 pixels.`);
  }
  function digit(numbers, size) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    tile(canvas.getContext("2d"), numbers, 0, 0, size, false);
    return canvas;
  }

  return { errorCurve, surface, hiddenUnits, digit, tile, color };
})();
