"use strict";
// The replay, the network, the sigmoid and the code. Data goes into the page as text only, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];
const niceName = (name) => { const [f, ...rest] = name.split(":"); return [DATA.names[f] ?? f, ...rest].join(":"); };

function element(space, tag, attributes, ...children) {
  const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
const html = (tag, attributes, ...children) => element(null, tag, attributes, ...children);
const svg = (tag, attributes, ...children) => element("http://www.w3.org/2000/svg", tag, attributes, ...children);

// The bits of a number, and how many floating-point numbers lie between two.
const view = new DataView(new ArrayBuffer(8));
function bits(value, dtype) {
  if (dtype === "float32") { view.setFloat32(0, value); return BigInt(view.getUint32(0)); }
  view.setFloat64(0, value); return view.getBigUint64(0);
}
function ordered(value, dtype) {
  const sign = dtype === "float32" ? 1n << 31n : 1n << 63n, b = bits(value, dtype);
  return b & sign ? -(b & (sign - 1n)) : b;
}
function ulp(a, b, dtype) { const d = ordered(a, dtype) - ordered(b, dtype); return d < 0n ? -d : d; }
const hexadecimal = (value, dtype) => bits(value, dtype).toString(16).padStart(dtype === "float32" ? 8 : 16, "0");
// On a phone fewer digits; the exact number is one touch away.
const narrow = window.matchMedia("(max-width: 640px)");
function short(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  const text = size >= 1e-4 && size < 1e5 ? value.toFixed(narrow.matches ? 5 : 8) : value.toExponential(narrow.matches ? 2 : 4);
  return text.replace("-", "−");
}

// light and dark
const root = document.documentElement, dark = window.matchMedia("(prefers-color-scheme: dark)"), still = window.matchMedia("(prefers-reduced-motion: reduce)");
function theme(name) { root.dataset.theme = name; document.dispatchEvent(new Event("theme")); }
theme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
$("#theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));

const REPLAY = DATA.replay;
const BROWSER = "browser";
DATA.names = { __proto__: null, ...DATA.names, [BROWSER]: "your browser" }; // a file may well name a backend "constructor"
const QUANTITIES = ["weight", "preactivation", "activation", "error", "delta", "change", "after"];
// Arrays come as the bits they have, in base64.
function matrix(text, columns, dtype) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), numbers = dtype === "float32" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
  return Array.from({ length: numbers.length / columns }, (_, i) => [...numbers.subarray(i * columns, (i + 1) * columns)]);
}
// The shortest decimal text that gives these bits again.
function exact(value, dtype) {
  let text = String(value);
  if (dtype === "float32") for (let p = 9; p >= 1 && Math.fround(Number(value.toPrecision(p))) === value; p--) text = String(Number(value.toPrecision(p)));
  return text.replace("-", "−");
}
const outputName = (j) => (REPLAY.name === "digits" ? `digit ${j}` : `output ${j + 1}`);
const spelled = (quantity) => (quantity === "preactivation" ? "pre-activation" : quantity);
const replay = REPLAY && startReplay(REPLAY);

// Shows a recording: the one that came with the page, or one that the reader's own browser makes of an experiment.
function startReplay(recording) {
  const unique = (key) => [...new Set(recording.tracks.map((track) => track[key]))];
  let last, end;
  const state = { stop: 0, backend: null, arithmetic: "native", dtype: null, layer: 0, unit: 0, sample: 0, cell: null, step: "predict", timer: null };

  const track = (backend = state.backend) => recording.tracks.find((t) => t.backend === backend && t.dtype === state.dtype && t.arithmetic === state.arithmetic);
  const beside = () => recording.tracks.filter((t) => t.dtype === state.dtype && t.arithmetic === state.arithmetic);
  // A quantity that is bit for bit NumPy's is stored there only.
  function value(t, stop, layer, quantity) {
    const moment = t?.moments[stop];
    if (!moment) return null;
    const k = QUANTITIES.indexOf(quantity), own = moment[layer - 1][k] === null ? beside()[0].moments[stop][layer - 1] : moment[layer - 1];
    if (typeof own[k] === "string") own[k] = matrix(own[k], recording.units[layer].length, t.dtype);
    return own[k];
  }
  function apart(quantity, layer, i, j) {
    const values = beside().map((t) => value(t, state.stop, layer, quantity)).filter((v) => v).map((v) => v[i][j]);
    return values.some((v) => v !== values[0]);
  }
  // Why there is nothing to show of a track; "" where there is something.
  const lacking = (t, backend = state.backend) => t?.trouble || (!t ? `${recording === REPLAY ? `no ${state.arithmetic} ${state.dtype} run of` : "your experiment was not trained in"} ${niceName(backend)}` : t.moments[state.stop] ? "" : `update ${recording.stops[state.stop].toLocaleString("en")} is not recorded for ${niceName(backend)}`);
  const anyApart = (stop) => beside()[0].moments[stop] && beside().slice(1).some((t) => t.moments[stop]?.some((layer, l) => QUANTITIES.some((q, k) => layer[k] !== null && value(t, stop, l + 1, q).some((row, i) => row.some((v, j) => v !== value(beside()[0], stop, l + 1, q)?.[i][j])))));
  const unitName = () => (recording.layers[state.layer] === 1 && state.layer === last ? "the output" : state.layer === last ? outputName(recording.units[state.layer][state.unit]) : `hidden unit ${recording.units[state.layer][state.unit] + 1}` + (last > 2 ? ` of layer ${state.layer}` : ""));
  const nodeName = (layer, j) => (layer === 0 ? `input ${recording.units[0][j] + 1}` : layer === last ? (recording.layers[last] === 1 ? "output" : outputName(recording.units[layer][j])) : `hidden ${recording.units[layer][j] + 1}`);
  const sampleName = (k) => `${recording.shown[k] + 1}`;

  // switches
  function radios(id, name, options, chosen, pick) {
    const box = $(id);
    box.querySelectorAll("label").forEach((label) => label.remove());
    for (const [key, text] of options) {
      const input = html("input", { type: "radio", name, value: key, onchange: () => pick(key) });
      input.checked = key === chosen;
      box.append(html("label", { class: "choice" }, input, html("span", {}, text)));
    }
  }
  function switches() {
    const offered = (key, value) => (unique(key).includes(value) ? value : unique(key)[0]);
    for (const key of ["backend", "arithmetic", "dtype"]) state[key] = offered(key, state[key]);
    radios("#framework", "framework", unique("backend").map((b) => [b, niceName(b)]), state.backend, (b) => {
      state.backend = b;
      if (!track() && b === BROWSER) { state.arithmetic = "reproducible"; $('#arithmetic input[value="reproducible"]').checked = true; strip(); } // the only one it has
      update();
    });
    radios("#arithmetic", "arithmetic", unique("arithmetic").map((a) => [a, a]), state.arithmetic, (a) => { state.arithmetic = a; strip(); update(); });
    radios("#dtype", "dtype", unique("dtype").map((d) => [d, d]), state.dtype, (d) => { state.dtype = d; strip(); update(); });
  }

  // transport
  const slider = $("#slider");
  function go(stop) { state.stop = Math.max(0, Math.min(end, stop)); slider.value = state.stop; update(); }
  slider.addEventListener("input", () => { pause(); go(Number(slider.value)); });
  $("#first").addEventListener("click", () => { pause(); go(0); });
  $("#last").addEventListener("click", () => { pause(); go(end); });
  $("#back").addEventListener("click", () => { pause(); go(state.stop - 1); });
  $("#forward").addEventListener("click", () => { pause(); go(state.stop + 1); });
  $("#play").addEventListener("click", () => (state.timer ? pause() : play()));
  function play() {
    if (state.stop === end) go(0);
    state.timer = setInterval(() => { go(state.stop + 1); if (state.stop === end) pause(); }, 320);
    showPlay();
  }
  function pause() { clearInterval(state.timer); state.timer = null; showPlay(); }
  function showPlay() {
    $("#play").textContent = state.timer ? "pause" : "play";
    $("#play").setAttribute("aria-pressed", String(Boolean(state.timer)));
    $("#play").setAttribute("aria-label", state.timer ? "Pause" : "Play");
  }
  document.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest?.("input, select, textarea, .scroll[tabindex]:focus")) return;
    event.preventDefault();
    pause();
    go(state.stop + (event.key === "ArrowRight" ? 1 : -1));
  });

  // Above the slider: the recorded updates in which any number differs between the frameworks.
  function strip() {
    const box = $("#strip"), marks = recording.stops.map((_, i) => anyApart(i)), width = 1000;
    box.setAttribute("viewBox", `0 0 ${width} 10`);
    box.setAttribute("preserveAspectRatio", "none");
    const step = end ? width / end : width;
    box.replaceChildren(svg("line", { x1: 0, x2: width, y1: 9.5, y2: 9.5, stroke: "var(--line)" }), ...marks.flatMap((mark, i) => (mark ? [svg("rect", { x: i * step - 3, y: 1, width: 6, height: 9, fill: "var(--positive)" })] : [])));
    state.marked = marks.filter((mark) => mark).length;
  }

  // the network
  // As wide as there is room, so that text keeps its size; redrawn when the window changes.
  let W = 520, H = 340, place = [];
  function room(box) {
    W = Math.max(300, Math.min(560, Math.round(box.parentElement.clientWidth - 30)));
    H = Math.round(W < 400 ? W * 0.95 : W * 0.64);
    box.setAttribute("viewBox", `0 0 ${W} ${H}`);
  }
  window.addEventListener("resize", () => { drawNetwork(); drawSigmoid(); });
  function drawNetwork() {
    const box = $("#network"), t = track();
    room(box);
    const columns = recording.units.map((units) => units.length);
    const crowded = Math.max(...columns) > 5, phone = W < 400, radius = crowded ? Math.max(9, Math.min(17, H / Math.max(...columns) / 2 - 5)) : phone ? 19 : 24, small = radius < 15 ? "font-size:8px" : "font-size:10px", edge = phone ? 38 : crowded ? 60 : 74;
    place = columns.map((n, layer) => Array.from({ length: n }, (_, j) => [edge + (layer * (W - 2 * edge - 24)) / last, (H * (j + 0.5)) / n]));
    if (!value(t, state.stop, 1, "weight")) { box.replaceChildren(svg("text", { x: 20, y: 40 }, lacking(t))); return; }
    const largest = Math.max(1e-9, ...t.moments.flatMap((m, s) => (m ?? []).map((_, l) => Math.max(...value(t, s, l + 1, "weight").flat().map(Math.abs)))));
    const edges = [], labels = [], nodes = [];
    for (let layer = 1; layer <= last; layer++) {
      const w = value(t, state.stop, layer, "weight");
      w.forEach((row, i) => row.forEach((v, j) => {
        const [[x1, y1], [x2, y2]] = [place[layer - 1][i], place[layer][j]], size = Math.sqrt(Math.abs(v) / largest), into = layer === state.layer && j === state.unit;
        edges.push(svg("line", { x1, y1, x2, y2, stroke: v < 0 ? "var(--negative)" : "var(--positive)", "stroke-width": (crowded ? 0.3 : 0.8) + (crowded ? 4 : 9) * size, "stroke-dasharray": v < 0 ? "9 5" : null, opacity: into ? 1 : crowded ? 0.35 : 0.5 }));
        if (into && !crowded) { const at = phone ? 0.56 : 0.4; const x = x1 + at * (x2 - x1), y = y1 + at * (y2 - y1), text = (apart("weight", layer, i, j) ? "≠ " : "") + v.toFixed(4).replace("-", "−"); labels.push(svg("rect", { x: x - 3.5 * text.length - 3, y: y - 9, width: 7 * text.length + 6, height: 18, rx: 5, fill: "var(--panel)" }), svg("text", { x, y: y + 4, "text-anchor": "middle", "data-weight": i }, text)); }
      }));
    }
    place.forEach((column, layer) => column.forEach(([x, y], j) => {
      const a = layer ? value(t, state.stop, layer, "activation")[state.sample][j] : recording.inputs[state.sample][j], on = layer === state.layer && j === state.unit;
      const shade = Math.max(0, Math.min(1, a)), children = [
        svg("circle", { cx: x, cy: y, r: radius, fill: "var(--panel)" }),
        svg("circle", { cx: x, cy: y, r: radius, fill: "var(--ink)", "fill-opacity": 0.06 + 0.3 * shade }),
        svg("text", { x, y: y + 4, "text-anchor": "middle", style: crowded ? small : null }, layer ? a.toFixed(crowded ? 2 : 3) : String(Number(a.toPrecision(3)))),
      ];
      if (!crowded || layer === last) children.push(svg("text", { class: "soft halo", x, y: layer === last ? y + radius + 16 : y - radius - 7, "text-anchor": "middle", style: crowded ? "font-size:0" : null }, nodeName(layer, j)));
      if (layer === last) children.push(svg("text", { class: "soft", x: x + radius + 6, y: y + 4, style: crowded ? "font-size:9px" : null }, `→ ${recording.targets[state.sample][j]}`));
      const pick = () => select(layer, j);
      nodes.push(svg("g", { class: `node${on ? " on" : ""}`, onclick: pick }, ...children));
    }));
    const focusable = [...edges, ...labels, ...nodes];
    box.replaceChildren(svg("title", {}, `Network of ${recording.layers.join(" to ")} units in update ${recording.stops[state.stop]}`), ...focusable);
    box.setAttribute("aria-label", `The network in update ${recording.stops[state.stop]}; weights into ${unitName()}: ` + value(t, state.stop, state.layer, "weight").map((row, i) => `${nodeName(state.layer - 1, i)} ${row[state.unit].toFixed(4)}`).join(", "));
  }

  // the sigmoid
  function drawSigmoid() {
    const box = $("#sigmoid"), t = track();
    room(box);
    const z = value(t, state.stop, state.layer, "preactivation"), a = value(t, state.stop, state.layer, "activation");
    if (!z) { box.replaceChildren(); return; }
    const far = Math.max(...t.moments.map((m, s) => (m ? Math.max(...value(t, s, state.layer, "preactivation").map((row) => Math.abs(row[state.unit]))) : 0)));
    const R = Math.min(12, Math.max(6, Math.ceil(far) + 1)), left = 34, right = 12, top = 20, bottom = 30;
    const X = (v) => left + ((Math.max(-R, Math.min(R, v)) + R) / (2 * R)) * (W - left - right), Y = (v) => H - bottom - v * (H - top - bottom);
    const sigma = (v) => 1 / (1 + Math.exp(-v)), parts = [];
    for (const v of [0, 0.5, 1]) parts.push(svg("line", { x1: left, x2: W - right, y1: Y(v), y2: Y(v), stroke: "var(--line)" }), svg("text", { class: "soft", x: left - 6, y: Y(v) + 4, "text-anchor": "end" }, String(v)));
    for (let v = -Math.floor(R / 4) * 4; v <= R; v += 4) parts.push(svg("line", { x1: X(v), x2: X(v), y1: Y(0), y2: Y(1), stroke: "var(--line)" }), svg("text", { class: "soft", x: X(v), y: H - 10, "text-anchor": "middle" }, String(v).replace("-", "−")));
    parts.push(svg("text", { class: "soft", x: W - right, y: H - 10, "text-anchor": "end" }, "z"));
    const line = Array.from({ length: 161 }, (_, i) => { const v = -R + (2 * R * i) / 160; return `${i ? "L" : "M"}${X(v).toFixed(1)} ${Y(sigma(v)).toFixed(1)}`; }).join("");
    parts.push(svg("path", { d: line, fill: "none", stroke: "var(--soft)", "stroke-width": 2.5 }));
    const order = z.map((_, k) => k).sort((k, l) => (k === state.sample) - (l === state.sample));
    const color = `var(--${state.backend.split(":")[0] in DATA.names ? state.backend.split(":")[0] : "other"})`;
    for (const k of order) {
      const x = z[k][state.unit], y = a[k][state.unit], slope = y * (1 - y), on = k === state.sample, reach = on ? 2 : 1.2;
      // a tangent of the same length on the screen, whatever its slope
      const ux = (W - left - right) / (2 * R), uy = H - top - bottom, length = Math.hypot(ux, slope * uy), dx = (reach * 26) / length;
      parts.push(svg("line", { class: "tangent", "data-sample": k, x1: X(x) - dx * ux, x2: X(x) + dx * ux, y1: Y(y) + dx * slope * uy, y2: Y(y) - dx * slope * uy, stroke: color, "stroke-width": on ? 4 : 2, "stroke-linecap": "round", opacity: on ? 1 : 0.6 }));
      parts.push(svg("circle", { class: "point", "data-sample": k, cx: X(x), cy: Y(y), r: on ? 7 : 5, fill: state.layer === last && recording.targets[k][state.unit] < 0.5 ? "var(--panel)" : color, stroke: color, "stroke-width": 2.5, style: "cursor:pointer", onclick: () => { state.sample = k; update(); } }));
    }
    // numbers of samples at nearly the same place share a label
    const groups = [];
    for (const k of z.map((_, i) => i).sort((k, l) => z[k][state.unit] - z[l][state.unit])) {
      const x = X(z[k][state.unit]), near = groups.find((g) => Math.abs(g.x - x) < 22);
      if (near) near.names.push(sampleName(k)); else groups.push({ x, y: Y(a[k][state.unit]), names: [sampleName(k)] });
    }
    for (const g of groups) parts.push(svg("text", { class: "halo", x: g.x - 13, y: g.y - 10, "text-anchor": "end" }, g.names.length > 4 ? `${g.names.slice(0, 3).join(", ")} …` : g.names.join(", ")));
    const y = a[state.sample][state.unit];
    parts.push(svg("text", { x: left + 10, y: top + 16, "font-weight": 700 }, `sample ${sampleName(state.sample)}`), svg("text", { x: left + 10, y: top + 34 }, `z = ${short(z[state.sample][state.unit])}`), svg("text", { x: left + 10, y: top + 52 }, `σ(z) = ${short(y)}`), svg("text", { id: "slope", x: left + 10, y: top + 70 }, `slope = ${short(y * (1 - y))}`));
    if (state.layer === last) parts.push(svg("text", { class: "soft", x: W - right - 6, y: Y(0.12), "text-anchor": "end", style: "font-size:11px" }, "● target 1   ○ target 0"));
    box.replaceChildren(svg("title", {}, "The sigmoid curve with the samples on it"), ...parts);
    box.setAttribute("aria-label", `The sigmoid curve. ${z.map((row, k) => `sample ${sampleName(k)} at ${row[state.unit].toFixed(3)}, output ${a[k][state.unit].toFixed(3)}, slope ${(a[k][state.unit] * (1 - a[k][state.unit])).toFixed(3)}`).join("; ")}`);
  }

  function select(layer, unit) { if (layer) { state.layer = layer; state.unit = unit; build(); update(); } }

  // the tables: built once for a unit, so that a focused number keeps its focus while the slider moves
  const SHOWN = [["preactivation", "z = a_prev·w"], ["activation", "a = σ(z)"], ["error", null], ["delta", "δ = e·a(1−a)"]];
  let cells = [];
  function build() {
    cells = [];
    const j = state.unit, layer = state.layer, output = layer === last, samples = $("#samples"), weights = $("#weights");
    const number = (quantity, i, what) => {
      const button = html("button", { type: "button", class: "num", "data-quantity": quantity, "data-row": i, onclick: () => choose(quantity, i, what), onfocus: () => choose(quantity, i, what) });
      cells.push({ button, quantity, i });
      return html("td", { class: "n" }, button);
    };
    const wide = recording.units[0].length > 4;
    samples.tHead.replaceChildren(html("tr", {}, html("th", {}, "sample"), html("th", {}, "input"), output ? html("th", { class: "n" }, "target y") : null, ...SHOWN.flatMap(([q, formula]) => [html("th", { class: "n" }, spelled(q), html("br"), formula ?? (output ? "e = y − a" : "e = δ_next·w_nextᵀ")), ...(q === "activation" ? [html("th", { class: "n" }, "slope", html("br"), "a(1−a)")] : [])])));
    samples.tBodies[0].replaceChildren(...recording.inputs.map((row, k) => {
      const slope = html("td", { class: "n", "data-slope": k });
      return html("tr", { "data-sample": k }, html("th", { scope: "row" }, html("button", { type: "button", class: "pick-sample", "aria-label": `Show sample ${sampleName(k)}`, onclick: () => { state.sample = k; update(); } }, sampleName(k))), html("td", {}, wide ? `${row.slice(0, 3).map((v) => Number(v.toPrecision(3))).join(" ")} …` : row.join(" ")), output ? html("td", { class: "n" }, String(recording.targets[k][j])) : null, ...SHOWN.flatMap(([q]) => [number(q, k, `${spelled(q)} of sample ${sampleName(k)}`), ...(q === "activation" ? [slope] : [])]));
    }));
    weights.tHead.replaceChildren(html("tr", {}, html("th", {}, "weight from"), html("th", { class: "n" }, "before", html("br"), "w"), html("th", { class: "n" }, "change", html("br"), "η·a_prevᵀ·δ"), html("th", { class: "n" }, "after", html("br"), "w")));
    weights.tBodies[0].replaceChildren(...recording.units[layer - 1].map((_, i) => html("tr", {}, html("th", { scope: "row" }, nodeName(layer - 1, i)), number("weight", i, `weight from ${nodeName(layer - 1, i)}`), number("change", i, `change of the weight from ${nodeName(layer - 1, i)}`), number("after", i, `weight from ${nodeName(layer - 1, i)}, after the update`))));
    state.cell = { quantity: "activation", i: Math.min(state.sample, recording.inputs.length - 1), what: null };
    state.cell.what = `activation of sample ${sampleName(state.cell.i)}`;
    radios("#unit", "unit", recording.units.slice(1).flatMap((units, l) => units.map((_, k) => [`${l + 1}.${k}`, nodeName(l + 1, k)])), `${layer}.${j}`, (key) => { [state.layer, state.unit] = key.split(".").map(Number); const focused = document.activeElement; build(); update(); if (focused?.name === "unit") $(`#unit input[value="${key}"]`).focus(); });
    $("#unit").hidden = recording.units.slice(1).flat().length < 2;
    $$(".unit-name").forEach((node) => { node.textContent = unitName(); });
  }
  function choose(quantity, i, what) { state.cell = { quantity, i, what }; cells.forEach((c) => c.button.classList.toggle("on", c.quantity === quantity && c.i === i)); showBits(); }
  const read = (t, quantity, i) => value(t, state.stop, state.layer, quantity)?.[i][state.unit];

  // One number in every framework, to the last bit.
  function showBits() {
    const { quantity, i, what } = state.cell, tracks = beside().filter((t) => read(t, quantity, i) !== undefined), dtype = state.dtype;
    if (!tracks.length) { $("#bits").replaceChildren(); return; }
    const number = (t) => read(t, quantity, i);
    const first = number(tracks[0]), reference = hexadecimal(first, dtype), same = tracks.every((t) => number(t) === first);
    $("#bits").replaceChildren(
      html("p", {}, html("b", {}, what), ` in update ${recording.stops[state.stop].toLocaleString("en")}, ${state.arithmetic} ${dtype}: `, same ? (tracks.length > 1 ? "the same bits in all." : "one framework only.") : "the bits part."),
      html("table", {}, html("tbody", {}, ...tracks.map((t) => {
        const v = number(t), digits = [...hexadecimal(v, dtype)].map((digit, k) => (digit === reference[k] ? digit : html("mark", {}, digit))), far = ulp(v, first, dtype);
        return html("tr", { "data-backend": t.backend }, html("th", { scope: "row" }, html("i", { class: `dot ${t.backend.split(":")[0]}` }), niceName(t.backend)), html("td", { class: "n exact" }, exact(v, dtype)), html("td", {}, html("code", {}, ...digits)), html("td", { class: "n" }, t === tracks[0] ? "" : `${far.toLocaleString("en")} ULP`));
      }))));
  }

  // the steps of the code
  const OF_STEP = { predict: ["preactivation", "activation"], error: ["error"], delta: ["delta"], update: ["change", "after"] };
  const LABEL = { preactivation: "z, one per sample", activation: "a, one per sample", error: "e, one per sample", delta: "δ, one per sample", change: "change, one per weight", after: "w after, one per weight" };
  let pinned = "predict";
  function light(step) {
    state.step = step;
    $$(".step").forEach((b) => { b.classList.toggle("on", b.dataset.step === step); b.setAttribute("aria-pressed", String(b.dataset.step === pinned)); });
    $$(".line").forEach((l) => l.classList.toggle("on", l.dataset.steps.split(" ").includes(step)));
    live();
  }
  function live() {
    $$("article.code").forEach((article) => {
      const t = beside().find((b) => b.backend.split(":")[0] === article.dataset.backend), box = article.querySelector(".live"), reference = beside()[0];
      if (!t || !value(t, state.stop, 1, "weight")) { box.replaceChildren(html("p", {}, t || article.dataset.backend !== BROWSER ? `No values: ${lacking(t, article.dataset.backend)}.` : recording.tracks.some((b) => b.backend === BROWSER) ? "It has the reproducible arithmetic only: choose that in the replay." : "Not trained yet.")); return; }
      box.replaceChildren(html("p", {}, html("b", {}, state.step), ` in update ${recording.stops[state.stop].toLocaleString("en")}, ${unitName()}`), ...OF_STEP[state.step].flatMap((q) => {
        const values = value(t, state.stop, state.layer, q), base = value(reference, state.stop, state.layer, q);
        return [html("p", {}, LABEL[q]), html("ol", { "data-quantity": q }, ...values.map((row, i) => { const v = row[state.unit], other = base && v !== base[i][state.unit]; return html("li", { class: other ? "apart" : null, title: exact(v, state.dtype) }, (other ? "≠ " : "") + short(v)); }))];
      }));
    });
  }
  $$(".step").forEach((b) => { b.addEventListener("mouseenter", () => light(b.dataset.step)); b.addEventListener("mouseleave", () => light(pinned)); b.addEventListener("focus", () => light(b.dataset.step)); b.addEventListener("blur", () => light(pinned)); b.addEventListener("click", () => { pinned = b.dataset.step; light(pinned); }); });
  $$(".line").forEach((l) => { const steps = l.dataset.steps.split(" ").filter((s) => s); if (!steps.length) return; l.addEventListener("mouseenter", () => light(steps.includes(pinned) ? pinned : steps[0])); l.addEventListener("mouseleave", () => light(pinned)); l.addEventListener("click", () => { pinned = steps.includes(pinned) ? steps[(steps.indexOf(pinned) + 1) % steps.length] : steps[0]; light(pinned); }); });

  function update() {
    const t = track(), number = recording.stops[state.stop];
    $("#now").textContent = number.toLocaleString("en");
    $$(".now").forEach((node) => { node.textContent = number.toLocaleString("en"); });
    slider.setAttribute("aria-valuetext", `update ${number} of ${recording.updates}`);
    for (const { button, quantity, i } of cells) {
      const v = read(t, quantity, i), other = apart(quantity, state.layer, i, state.unit);
      button.textContent = v === undefined ? "–" : short(v);
      button.classList.toggle("apart", v !== undefined && other);
      button.classList.toggle("on", state.cell.quantity === quantity && state.cell.i === i);
      button.setAttribute("aria-label", v === undefined ? "no value" : short(v) + (other ? ", differs between frameworks" : ""));
    }
    $$("#samples tbody tr").forEach((row, k) => { row.classList.toggle("on", k === state.sample); const a = value(t, state.stop, state.layer, "activation")?.[k][state.unit]; row.querySelector("[data-slope]").textContent = a === undefined ? "–" : short(a * (1 - a)); });
    const here = beside().filter((b) => b.moments[state.stop]), why = lacking(t);
    $("#differ").textContent = why ? `${why[0].toUpperCase()}${why.slice(1)}.` : here.length < 2 ? `${beside().length < 2 ? "one framework only" : `this update is in ${niceName(here[0].backend)} only`}, nothing to compare` : anyApart(state.stop) ? `≠ some bits differ here (and in ${state.marked} of ${recording.stops.length} recorded updates)` : state.marked ? `the same bits here; they differ in ${state.marked} of ${recording.stops.length} recorded updates` : "the same bits in all, in every recorded update";
    if (t && why && !t.trouble) { // gone to in another framework: the nearest one that is recorded here
      const near = recording.stops.map((_, s) => s).filter((s) => t.moments[s]).sort((r, s) => Math.abs(recording.stops[r] - number) - Math.abs(recording.stops[s] - number))[0];
      $("#differ").append(" ", html("button", { type: "button", onclick: () => { pause(); go(near); slider.focus(); } }, `Go to update ${recording.stops[near].toLocaleString("en")}`));
    }
    $("#paper").textContent = `Update ${number.toLocaleString("en")} of ${recording.updates.toLocaleString("en")}, ${niceName(state.backend)}, ${state.arithmetic}, ${state.dtype}.`;
    drawNetwork();
    drawSigmoid();
    showBits();
    live();
    document.dispatchEvent(new Event("shown"));
  }
  // A recording from its start, or the same one with more in it, where it was.
  function show(another, { keep = false } = {}) {
    recording = another;
    last = recording.layers.length - 1;
    end = recording.stops.length - 1;
    slider.max = end;
    $("#total").textContent = recording.updates.toLocaleString("en");
    if (!keep) { pause(); Object.assign(state, { layer: last, unit: 0, sample: 0, stop: 0 }); }
    switches();
    const cut = [];
    if (recording.shown.length < recording.samples) cut.push(`${recording.shown.length} of ${recording.samples.toLocaleString("en")} samples`);
    if (recording.units.some((u, l) => u.length < recording.layers[l])) cut.push(`${recording.units.map((u, l) => `${u.length} of ${recording.layers[l]}`).join(", ")} units, layer by layer`);
    $("#cut").textContent = cut.length ? `Shown are ${cut.join(" and ")}, spread evenly; the training has them all.` : "";
    if (!keep) build();
    strip();
    go(state.stop);
  }
  show(recording);
  light("predict");
  return { state, go, show, select, recording: () => recording, track, value };
}
