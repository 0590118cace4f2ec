"use strict";
// The charts, drawn by Plotly once they come into view, and again when the theme changes.
const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const frameworkColor = (name) => css(name.split(/[: ]/)[0] in DATA.names ? name.split(/[: ]/)[0] : "other");
const SYMBOL = { __proto__: null, numpy: "circle", torch: "square", jax: "triangle-up" };
const symbolOf = (name) => SYMBOL[name.split(/[: ]/)[0]] ?? "diamond";

function layout(x, y, more = {}) {
  const axis = (options) => ({ gridcolor: css("line"), zerolinecolor: css("line"), linecolor: css("line"), tickfont: { color: css("soft") }, exponentformat: "power", automargin: true, ...options, title: { text: options.title, font: { color: css("soft"), size: 12 } } });
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "system-ui, sans-serif", color: css("ink"), size: 12 }, margin: { l: 50, r: 12, t: 22, b: 44 }, hovermode: "closest", ...(onPaper ? { width: 640 } : {}), hoverlabel: { bgcolor: css("panel"), bordercolor: css("line"), font: { color: css("ink") } }, legend: { orientation: "h", y: narrow.matches ? -0.34 : -0.2, yanchor: "top", x: 0, font: { size: 11 } }, dragmode: false, ...more, xaxis: axis(x), yaxis: axis(y) };
}
// Plotly takes some markup in names: what comes from a file is spelled so that it stays text.
const asText = (name) => String(name).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const UPDATES = { type: "log", title: "update", dtick: 1 }, BEFORE = { ...UPDATES, title: "before update" };
let onPaper = false, onScreen = "light"; // the theme to go back to
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };

// A logarithmic axis has no zero: zeros get a place of their own below the smallest number.
function withZero(values) {
  const known = values.filter((v) => v > 0 && Number.isFinite(v));
  const low = known.length ? Math.floor(Math.log10(Math.min(...known))) : 0, high = known.length ? Math.ceil(Math.log10(Math.max(...known)) + 0.05) : 1;
  const powers = []; const step = Math.max(1, Math.ceil((high - low) / 6));
  for (let p = low; p <= high; p += step) powers.push(p);
  return { zero: 10 ** (low - 1), range: [low - 1.25, Math.max(high, low + 1)], tickvals: [10 ** (low - 1), ...powers.map((p) => 10 ** p)], ticktext: ["0", ...powers.map((p) => (p >= 0 && p < 4 ? String(10 ** p) : `10<sup>${p}</sup>`))] };
}

const seriesName = (d) => `${niceName(d.sides[1])}${d.sides[0] === "numpy" ? "" : ` to ${niceName(d.sides[0])}`}, ${d.arithmetic} ${d.dtype}`;
function distance(id, index, title) {
  const scale = withZero(DATA.distances.flatMap((d) => d.points.map((p) => p[index])));
  // Lines that lie on each other are told apart by symbol and size.
  const traces = DATA.distances.map((d) => ({
    type: "scatter", mode: "lines+markers", name: asText(seriesName(d)),
    x: d.points.map((p) => p[0]), y: d.points.map((p) => (p[index] === 0 ? scale.zero : p[index])), text: d.points.map((p) => String(p[index])), hovertemplate: "update %{x}: %{text}<extra>%{fullData.name}</extra>",
    line: { color: frameworkColor(d.sides[1]), width: 1.6, dash: d.dtype === "float32" ? "dot" : "solid" },
    marker: { symbol: symbolOf(d.sides[1]) + (d.arithmetic === "reproducible" ? "-open" : ""), size: d.arithmetic === "reproducible" ? 9 : 5 },
  }));
  Plotly.react(id, traces, layout(UPDATES, { type: "log", title, tickvals: scale.tickvals, ticktext: scale.ticktext, range: scale.range }, { showlegend: false }), CONFIG);
}
// One legend for both charts, in the page's own colours.
function distanceLegend() {
  const shape = { square: (f) => svg("rect", { x: 14, y: 4, width: 8, height: 8, ...f }), circle: (f) => svg("circle", { cx: 18, cy: 8, r: 4, ...f }), "triangle-up": (f) => svg("path", { d: "M18 3l5 9h-10z", ...f }), diamond: (f) => svg("path", { d: "M18 3l5 5-5 5-5-5z", ...f }) };
  $("#divergence-legend").append(...DATA.distances.map((d) => {
    const framework = d.sides[1].split(/[: ]/)[0], stroke = `var(--${framework in DATA.names ? framework : "other"})`;
    return html("li", {}, svg("svg", { width: 36, height: 16, "aria-hidden": "true" }, svg("line", { x1: 0, x2: 36, y1: 8, y2: 8, stroke, "stroke-width": 1.6, "stroke-dasharray": d.dtype === "float32" ? "2 3" : null }), shape[symbolOf(d.sides[1])]({ stroke, fill: d.arithmetic === "reproducible" ? "var(--panel)" : stroke })), seriesName(d));
  }));
}

function curves(id) {
  const finite = (v) => (typeof v === "number" && v > 0 ? v : null), traces = [];
  const colors = { __proto__: null, float64: css("positive"), float32: css("negative") };
  for (const c of DATA.curves) {
    const x = c.points.map((p) => p.step), color = colors[c.dtype] ?? css("other");
    traces.push({ type: "scatter", mode: "lines+markers", name: asText(`central, ${c.dtype}`), x, y: c.points.map((p) => finite(p.central)), line: { color, width: 2.5 }, marker: { size: 5, symbol: c.dtype === "float32" ? "square" : "circle" } });
    traces.push({ type: "scatter", mode: "lines", name: asText(`forward, ${c.dtype}`), x, y: c.points.map((p) => finite(p.forward)), line: { color, width: 1.5, dash: "dash" } });
  }
  const steps = DATA.curves.flatMap((c) => c.points.map((p) => p.step)), exact = DATA.curves.find((c) => c.dtype === "float64") ?? DATA.curves[0], complex = Math.max(Number(exact.complex_step), 1e-17);
  traces.push({ type: "scatter", mode: "lines", name: "complex step", x: [Math.min(...steps), Math.max(...steps)], y: [complex, complex], line: { color: css("ink"), width: 2.5, dash: "dashdot" } });
  Plotly.react(id, traces, layout({ type: "log", title: "step h", dtick: narrow.matches ? 4 : 2, tickangle: 0 }, { type: "log", title: "largest relative error" }), CONFIG);
}

function outputs(id) {
  const d = DATA.iterations, units = d.units.length, palette = ["numpy", "torch", "jax", "negative", "positive", "other"], traces = [];
  const lines = d.shown.flatMap((k, i) => d.units.map((u, j) => [k, i, u, j])).filter(([, i, , j]) => units === 1 || d.targets[i][j] === 1);
  for (const [k, i, u, j] of lines) traces.push({ type: "scatter", mode: "lines+markers", name: `sample ${k + 1}${units > 1 ? `, ${outputName(u)}` : ""} → ${d.targets[i][j]}`, x: d.updates, y: d.outputs.map((o) => o[i][j]), line: { color: css(palette[i % palette.length]), width: 2 }, marker: { size: 4, symbol: ["circle", "square", "triangle-up", "diamond", "cross", "x"][i % 6] } });
  Plotly.react(id, traces, layout(BEFORE, { title: "output", range: [-0.04, 1.04] }, { shapes: [own(d)], annotations: [label(d)], showlegend: true }), CONFIG);
}
const own = (d) => ({ type: "line", xref: "x", yref: "paper", x0: d.own, x1: d.own, y0: 0, y1: 1, line: { color: css("soft"), dash: "dot", width: 1.5 } });
const label = (d) => ({ xref: "x", yref: "paper", x: Math.log10(d.own), y: 1, text: `${d.own.toLocaleString("en")} updates `, showarrow: false, xanchor: "right", yanchor: "bottom", font: { color: css("soft"), size: 11 } });
function errors(id) {
  const d = DATA.iterations;
  Plotly.react(id, [{ type: "scatter", mode: "lines+markers", name: "error", x: d.updates, y: d.errors, line: { color: css("ink"), width: 2 }, marker: { size: 4 } }], layout(BEFORE, { type: "log", title: "mean |y − a|", dtick: Math.max(...d.errors) > 30 * Math.min(...d.errors) ? 1 : null }, { shapes: [own(d)], annotations: [label(d)], showlegend: false }), CONFIG);
}

function timings(id) {
  const t = DATA.timings[Number($("#timing").value)], rows = [...t.rows].sort((a, b) => b.median - a.median), name = (r) => asText(r.label);
  document.getElementById(id).style.height = `${120 + 30 * rows.length}px`;
  const shapes = t.floor === null ? [] : [{ type: "line", xref: "x", yref: "paper", x0: t.floor, x1: t.floor, y0: 0, y1: 1, line: { color: css("soft"), dash: "dash", width: 1.5 } }];
  const traces = [
    { type: "scatter", mode: "markers", x: rows.flatMap((r) => r.samples), y: rows.flatMap((r) => r.samples.map(() => name(r))), marker: { size: 8, opacity: 0.55, color: rows.flatMap((r) => r.samples.map(() => frameworkColor(r.framework))), symbol: rows.flatMap((r) => r.samples.map(() => symbolOf(r.framework) + (r.group === "backend" ? "" : "-open"))) }, hovertemplate: "%{y}: %{x:.3s}s<extra></extra>" },
    { type: "scatter", mode: "markers", x: rows.map((r) => r.median), y: rows.map(name), marker: { symbol: "line-ns", size: 18, line: { width: 3, color: rows.map((r) => frameworkColor(r.framework)) } }, hovertemplate: "%{y}: median %{x:.3s}s<extra></extra>" },
  ];
  Plotly.react(id, traces, layout({ type: "log", title: "seconds per update", exponentformat: "SI", minexponent: 0, ticksuffix: "s" }, { type: "category", categoryorder: "array", categoryarray: rows.map(name), title: "" }, { shapes, showlegend: false }), CONFIG);
  document.getElementById(id).setAttribute("aria-label", `Median seconds per update: ${rows.map((r) => `${r.label} ${r.median.toExponential(2)}`).join("; ")}`);
  $("#refused").textContent = t.refused.length ? `Without a number: ${t.refused.join("; ")}.` : "";
}

function sweep(id, s) {
  const traces = s.curves.map((c) => ({ type: "scatter", mode: "lines+markers", name: asText(c.name), x: c.points.map((p) => p[0]), y: c.points.map((p) => p[1]), line: { color: frameworkColor(c.framework), width: c.group === "backend" ? 2.5 : 1.3, dash: c.group === "backend" ? "solid" : "dot" }, marker: { symbol: symbolOf(c.framework), size: 7 } }));
  if (s.even.length) traces.push({ type: "scatter", mode: "markers", name: "break-even", x: s.even.map((e) => e.size), y: s.even.map((e) => e.seconds), text: s.even.map((e) => asText(e.rows.join(" and "))), marker: { symbol: "star", size: 13, color: css("positive"), line: { color: css("ink"), width: 1 } }, hovertemplate: "%{text} cost the same at %{x:.3s}<extra></extra>" });
  Plotly.react(id, traces, layout({ type: "log", title: s.axis, dtick: 1 }, { type: "log", title: "seconds per update", dtick: 1, exponentformat: "SI", minexponent: 0, ticksuffix: "s" }), CONFIG);
}

const charts = new Map();
if (DATA.distances.length) { distanceLegend(); charts.set("chart-ulp", (id) => distance(id, 1, "ULP")); charts.set("chart-abs", (id) => distance(id, 2, "|difference|")); }
if (DATA.curves.length) charts.set("chart-curve", curves);
if (DATA.iterations) { charts.set("chart-outputs", outputs); charts.set("chart-errors", errors); }
if (DATA.timings.length) {
  DATA.timings.forEach((t, i) => $("#timing").append(html("option", { value: i }, `${t.problem}, ${t.dtype}, ${t.threads} ${t.threads === 1 ? "thread" : "threads"}`)));
  $("#timing").value = Math.max(0, DATA.timings.findIndex((t) => t.problem === REPLAY?.name));
  charts.set("chart-timings", timings);
  $("#timing").addEventListener("change", () => timings("chart-timings"));
  DATA.sweeps.forEach((s, i) => {
    const id = `chart-sweep-${i}`, even = s.even.map((e) => `${e.rows.join(" and ")} cost the same at ${s.axis} ${Number(e.size.toPrecision(2)).toLocaleString("en")}`).join("; ");
    $("#sweeps").append(html("figure", { class: "panel" }, html("figcaption", {}, `By ${s.axis} `, html("small", {}, `from ${s.network} on, ${s.dtype}`)), html("div", { class: "chart", id, role: "img", "aria-label": `Seconds per update by ${s.axis}. ${even}` }), html("p", { class: "note" }, even ? `Break-even: ${even}.` : "No two of them ever cost the same.")));
    charts.set(id, (where) => sweep(where, s));
  });
}
// Plotly is unpacked when the first chart comes near, so that the page opens at once.
let plotly = null;
async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(html("script", {}, text));
}
const drawn = new Set();
async function draw(id) {
  drawn.add(id);
  try { await (plotly ??= unpack()); charts.get(id)(id); } catch (error) { document.getElementById(id).textContent = `This chart needs a newer browser: ${error.message}`; }
}
const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => { if (entry.isIntersecting && !drawn.has(entry.target.id)) draw(entry.target.id); }), { rootMargin: "600px" });
for (const id of charts.keys()) watcher.observe(document.getElementById(id));
document.addEventListener("theme", () => drawn.forEach(draw));
// Paper has all charts, in light colours and no wider than it is. Printing waits for nothing, so Plotly is there by then.
window.addEventListener("load", () => (window.requestIdleCallback ?? setTimeout)(() => { if (charts.size) plotly ??= unpack(); }));
window.addEventListener("beforeprint", () => {
  [onPaper, onScreen] = [true, root.dataset.theme];
  theme("light");
  if (window.Plotly) for (const [id, chart] of charts) { drawn.add(id); chart(id); }
});
window.addEventListener("afterprint", () => { onPaper = false; theme(onScreen); });
for (const id of ["chart-ulp", "chart-abs"]) if (!charts.has(id)) document.getElementById(id)?.closest("figure").replaceChildren(html("p", { class: "note" }, "Nothing to compare with NumPy was given."));
