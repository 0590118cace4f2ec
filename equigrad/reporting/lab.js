"use strict";
// Experiments: what the reader asks for is checked, trained in a worker and shown in the replay and the pictures.
// What comes from a field or from the address goes into the page as text only.
const lab = REPLAY && DATA.task ? startLab(DATA.task) : null;

async function startLab(problem) {
  const MOST_UPDATES = 10_000_000, MOST_ROWS = 64, MOST_UNITS = 64, MOST_LAYERS = 4, AT_ONCE = 1e8, LONGEST_LINK = 20_000;
  const FIELDS = ["updates", "rate", "hidden", "seed", "precision"];

  async function unpacked(given) {
    if (Array.isArray(given)) return given;
    const bytes = Uint8Array.from(atob(given.gzip), (c) => c.charCodeAt(0));
    const numbers = new Float64Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
    return Array.from({ length: numbers.length / given.columns }, (_, i) => [...numbers.subarray(i * given.columns, (i + 1) * given.columns)]);
  }
  const inputs = await unpacked(problem.inputs), targets = await unpacked(problem.targets), wide = inputs[0].length, outs = targets[0].length;
  const editable = inputs.length <= MOST_ROWS && wide + outs <= 12, isDigits = wide === 64;
  // The state of the form: text, as a reader or a link gives it.
  const start = { updates: String(problem.updates), rate: String(problem.learning_rate), hidden: problem.layers.slice(1, -1).join(",") || "0", seed: String(problem.seed), precision: REPLAY.tracks[0].dtype, inputs: inputs.map((r) => r.map(String)), targets: targets.map((r) => r.map(String)) };

  // checks: each gives a value, or throws one line
  function number(text) {
    if (!text.trim()) throw new Error("is empty: give a number");
    const plain = text.trim().replaceAll("−", "-"); // as this page prints it
    if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain)) throw new Error(`is not a number: ${quoted(text)}`);
    const value = Number(plain) + 0;
    if (!Number.isFinite(value)) throw new Error(`is too large for a number: ${quoted(text)}`);
    return value;
  }
  function whole(text, low, high, { above = "", below = "" } = {}) {
    if (!text.trim()) throw new Error("is empty: give a whole number");
    const plain = text.trim().replace("−", "-"), value = Number(plain.replaceAll(",", ""));
    if (!/^[+-]?(\d+|\d{1,3}(,\d{3})+)$/.test(plain)) throw new Error(`must be a whole number, not ${quoted(text)}`);
    if (value < low || value > high) throw new Error(`must be between ${low.toLocaleString("en")} and ${high.toLocaleString("en")}${value > high ? above : below}`);
    return value + 0;
  }
  const quoted = (text) => `“${text.length > 40 ? `${text.slice(0, 40)}…` : text}”`;
  function fitting(value, dtype) {
    const held = dtype === "float32" ? Math.fround(value) : value;
    if (!Number.isFinite(held)) throw new Error(`does not fit into ${dtype}`);
    if (Math.abs(held) >= 2 ** 960) throw new Error("is too large: from 2**960 (1e289) on the same bits are not promised");
    if (value !== 0 && Math.abs(held) < SMALLEST[dtype]) throw new Error(`is too small for ${dtype} (a subnormal number, or zero)`);
    return value;
  }
  const CHECKS = {
    precision: (text) => { if (!Object.hasOwn(SMALLEST, text)) throw new Error(`must be float64 or float32, not ${quoted(text)}`); return text; },
    updates: (text) => whole(text, 1, MOST_UPDATES, { above: "; equigrad compare takes more" }),
    seed: (text) => whole(text, 0, 2 ** 32 - 1),
    rate: (text, dtype) => { const value = number(text); if (value <= 0) throw new Error("must be more than 0"); return fitting(value, dtype); },
    hidden: (text) => {
      if (["", "0", "none"].includes(text.trim())) return [];
      const sizes = text.trim().split(/[\s,]+/).map((size) => whole(size, 1, MOST_UNITS, { above: " in each layer", below: " in each layer; 0 alone means none" }));
      if (sizes.length > MOST_LAYERS) throw new Error(`can be given for at most ${MOST_LAYERS} layers`);
      return sizes;
    },
  };
  const CALLED = { updates: "The number of updates", rate: "The learning rate", hidden: "The number of hidden units", seed: "The seed", precision: "The precision" };

  // { task } or { wrong: { field: line }, cells: [[row, column]] }
  function checked(texts) {
    const found = {}, wrong = {}, cells = [];
    for (const field of ["precision", "updates", "rate", "hidden", "seed"]) {
      try { found[field] = CHECKS[field](texts[field], found.precision ?? "float64"); } catch (error) { wrong[field] = `${CALLED[field]} ${error.message}.`; }
    }
    const table = (kind, rows, columns) => rows.map((row, i) => row.map((text, j) => {
      try { return fitting(number(text), found.precision ?? "float64"); } catch (error) {
        cells.push([i, columns + j]);
        wrong.rows ??= `Sample ${i + 1}, ${kind} ${j + 1} ${error.message}.`;
        return NaN;
      }
    }));
    const own = !editable || same(texts, start, ["inputs", "targets"]);
    const task = { inputs: own ? inputs : table("input", texts.inputs, 0), targets: own ? targets : table("target", texts.targets, wide) };
    if (Object.keys(wrong).length) return { wrong, cells };
    return { task: { ...task, layers: [wide, ...found.hidden, outs], updates: found.updates, learningRate: found.rate, seed: found.seed, dtype: found.precision } };
  }
  const same = (a, b, keys) => keys.every((key) => JSON.stringify(a[key]) === JSON.stringify(b[key]));
  const isOwn = (task) => task.inputs === inputs && task.targets === targets && same(task, { layers: problem.layers, updates: problem.updates, learningRate: problem.learning_rate, seed: problem.seed }, ["layers", "updates", "learningRate", "seed"]) && REPLAY.tracks.some((t) => t.dtype === task.dtype);

  // the form
  function cellsOf(row) { return [...row.querySelectorAll("input")].map((cell) => cell.value); }
  function read() {
    const rows = editable ? [...$("#rows").tBodies[0].rows].map(cellsOf) : null;
    return { ...Object.fromEntries(FIELDS.map((field) => [field, $(`#${field}`).value])), inputs: rows ? rows.map((r) => r.slice(0, wide)) : start.inputs, targets: rows ? rows.map((r) => r.slice(wide)) : start.targets };
  }
  function fill(texts) {
    for (const field of FIELDS) $(`#${field}`).value = texts[field];
    if (editable) $("#rows").tBodies[0].replaceChildren(...texts.inputs.map((row, i) => tableRow([...row, ...texts.targets[i]])));
    numbered();
    complain({});
  }
  function tableRow(values) {
    const remove = html("button", { type: "button", class: "remove", onclick: () => { if ($("#rows").tBodies[0].rows.length > 1) { const next = line.nextElementSibling ?? line.previousElementSibling; line.remove(); numbered(); next.querySelector("button").focus(); } } }, "×");
    const line = html("tr", {}, html("th", { scope: "row" }), ...values.map((value, j) => { const cell = html("input", { inputmode: "decimal", autocomplete: "off", "aria-describedby": "wrong-rows", class: j >= wide ? "target" : null }); cell.value = value; return html("td", {}, cell); }), html("td", {}, remove));
    return line;
  }
  function numbered() {
    [...$("#rows").tBodies[0].rows].forEach((row, i, all) => {
      row.cells[0].textContent = String(i + 1);
      row.querySelectorAll("input").forEach((cell, j) => cell.setAttribute("aria-label", `Sample ${i + 1}, ${j < wide ? `input ${j + 1}` : `target ${j - wide + 1}`}`));
      const remove = row.querySelector(".remove");
      remove.setAttribute("aria-label", `Remove sample ${i + 1}`);
      remove.disabled = all.length === 1;
    });
    $("#add-row").disabled = $("#rows").tBodies[0].rows.length >= MOST_ROWS;
  }
  // One line at each place that is wrong; nothing else changes.
  function complain(wrong, cells = []) {
    for (const field of [...FIELDS, "rows", "link"]) {
      $(`#wrong-${field}`).textContent = wrong[field] ?? "";
      if (FIELDS.includes(field)) $(`#${field}`).setAttribute("aria-invalid", String(field in wrong));
    }
    $$("#rows input").forEach((cell) => cell.removeAttribute("aria-invalid"));
    for (const [i, j] of cells) $("#rows").tBodies[0].rows[i].querySelectorAll("input")[j].setAttribute("aria-invalid", "true");
  }

  // the worker; `halt` ends what it is doing
  let worker = null, count = 0, halt = null;
  function inWorker(task, weights, done, stops, part, tell) {
    halt?.();
    return new Promise((resolve) => {
      const id = ++count, end = (how) => { halt = null; resolve(how); };
      worker ??= new Worker(URL.createObjectURL(new Blob(["engine", "worker"].map((name) => `${document.getElementById(name).textContent}\n`), { type: "text/javascript" })));
      worker.onmessage = ({ data }) => { if (data.id !== id) return; if (data.finished || data.trouble) end(data); else tell(data); };
      worker.onerror = (event) => { worker.terminate(); worker = null; end({ trouble: `this browser did not run the training: ${event.message ?? "no worker"}` }); };
      halt = () => { worker.terminate(); worker = null; end({ stopped: true }); };
      worker.postMessage({ id, task, weights, done, stops, part });
    });
  }
  const revived = (weights) => weights.map((w) => new Matrix(w.rows, w.columns, w.data));

  // Which updates, samples and units of an experiment are written down.
  function stopsOf(updates) {
    const found = new Set();
    for (let k = 0; k <= 12 * Math.log10(updates); k++) found.add(Math.round(10 ** (k / 12)));
    for (let i = 1; i <= 10; i++) { found.add(i); if (i <= 5) found.add(updates - i + 1); }
    return [...found].filter((u) => u >= 1 && u <= updates).sort((a, b) => a - b);
  }
  const spread = (size, most) => [...new Set(Array.from({ length: Math.min(size, most) }, (_, i) => Math.floor((i * (size - 1)) / Math.max(1, Math.min(size, most) - 1))))];
  const partOf = (task, own) => (own ? { shown: REPLAY.shown, units: REPLAY.units } : { shown: spread(task.inputs.length, 16), units: task.layers.map((size) => spread(size, 16)) });

  // `shown`: what the replay and the pictures are about. `view`: how much of it there is while it trains.
  let shown = null, following = false;
  const kept = () => (shown ? "The SHA-256, the pictures and the replay are still those of the run before." : "Nothing was trained.");
  async function run(task, texts, { quiet = false } = {}) {
    const own = isOwn(task), stops = own ? [...REPLAY.stops] : stopsOf(task.updates), part = partOf(task, own), began = performance.now();
    const track = { backend: BROWSER, dtype: task.dtype, arithmetic: "reproducible", trouble: "", sha256: "", moments: [], weights: [], errors: [], after: null, outputs: null };
    let done = 0, frame = 0, last = 0;
    const drawn = (now) => { frame = 0; if (!still.matches && now - last > 80) { last = now; draw({ task, track, stops }); } };
    const progress = () => { if (quiet) return; $("#progress").value = done / task.updates; $("#lab-status").textContent = `Training: ${done.toLocaleString("en")} of ${task.updates.toLocaleString("en")} updates.`; };
    if (!quiet) busy(true);
    const end = await inWorker(task, null, 0, stops, part, (news) => {
      if ("moment" in news) {
        track.moments.push(news.moment); track.weights.push(revived(news.weights)); track.errors.push(news.error); track.after = revived(news.after);
        done = news.update;
        if (!quiet) frame ||= requestAnimationFrame(drawn);
      } else if (news.outputs) track.outputs = new Matrix(news.outputs.rows, news.outputs.columns, news.outputs.data);
      else done = news.done;
      progress();
    });
    cancelAnimationFrame(frame);
    busy(false);
    if (end.stopped) { $("#lab-status").textContent = `Stopped after ${done.toLocaleString("en")} updates. ${kept()}`; if (shown) draw(shown); return false; }
    if (end.trouble || subnormal([...track.after.flatMap((w) => [...w.data])], task.dtype)) {
      const why = end.trouble ?? "the weights hold subnormal numbers, for which the same bits are not promised";
      complain({ [why.includes("weights") ? "rate" : "link"]: `${why[0].toUpperCase()}${why.slice(1)}.` });
      $("#lab-status").textContent = kept();
      if (shown) draw(shown);
      return false;
    }
    track.sha256 = weightsHash(track.after);
    const seconds = (performance.now() - began) / 1000;
    if (own) REPLAY.tracks = [...REPLAY.tracks.filter((t) => !(t.backend === BROWSER && t.dtype === task.dtype)), track];
    const recording = own ? REPLAY : { ...REPLAY, layers: task.layers, samples: task.inputs.length, updates: task.updates, learning_rate: task.learningRate, seed: task.seed, stops, shown: part.shown, units: part.units, inputs: part.shown.map((k) => part.units[0].map((i) => task.inputs[k][i])), targets: part.shown.map((k) => part.units.at(-1).map((j) => task.targets[k][j])), tracks: [track] };
    if (own) proclaim(track, seconds);
    if (quiet && shown) { if (replay.recording() === REPLAY) replay.show(REPLAY, { keep: true }); return true; }
    shown = { task, track, stops: recording.stops, recording, own, texts };
    following = false;
    if (own && replay.recording() === REPLAY) replay.show(REPLAY, { keep: true }); else replay.show(recording);
    following = false;
    const what = own && hashOf(task.dtype) === track.sha256 ? " The SHA-256 is that of NumPy" + (problem.golden[task.dtype] === track.sha256 ? ", and the published one." : ".") : "";
    $("#lab-status").textContent = `Trained ${task.updates.toLocaleString("en")} updates in ${seconds < 1 ? seconds.toFixed(2) : seconds.toFixed(1)} s.${what}`;
    $("#lab-hash").textContent = track.sha256;
    $("#line").textContent = line(shown);
    banner();
    draw(shown);
    predictions();
    return true;
  }
  function busy(on) {
    $("#train").disabled = on; $("#stop").hidden = !on; $("#progress").hidden = !on;
    if (on) { $("#progress").value = 0; $("#copied").textContent = ""; }
  }

  // Is it the same as what the frameworks reached? If not, where does it part?
  const reference = (dtype) => REPLAY.tracks.find((t) => t.backend === "numpy" && t.dtype === dtype && t.arithmetic === "reproducible");
  const hashOf = (dtype) => problem.golden[dtype] ?? reference(dtype)?.sha256;
  function firstDifference(track) {
    const other = reference(track.dtype);
    for (let s = 0; other && s < Math.min(other.moments.length, track.moments.length); s++) {
      for (let l = 1; other.moments[s] && l < REPLAY.layers.length; l++) for (const [k, quantity] of QUANTITIES.entries()) {
        const theirs = replay.value(other, s, l, quantity), mine = track.moments[s][l - 1][k];
        for (const [i, row] of mine.entries()) for (const [j, v] of row.entries()) if (v !== theirs[i][j]) return `in update ${REPLAY.stops[s].toLocaleString("en")}, ${spelled(quantity)} of layer ${l}, ${["weight", "change", "after"].includes(quantity) ? `from unit ${REPLAY.units[l - 1][i] + 1}` : `sample ${REPLAY.shown[i] + 1}`}, unit ${REPLAY.units[l][j] + 1}: ${exact(v, track.dtype)} here, ${exact(theirs[i][j], track.dtype)} in NumPy`;
      }
    }
    return null;
  }
  const verified = new Map();
  function proclaim(track, seconds) {
    const difference = firstDifference(track), expected = hashOf(track.dtype), good = !difference && (!expected || expected === track.sha256);
    verified.set(track.dtype, { good, text: good ? `${track.dtype}: ${problem.updates.toLocaleString("en")} updates in ${seconds < 1 ? seconds.toFixed(2) : seconds.toFixed(1)} s, ${expected ? `the ${problem.golden[track.dtype] ? "published" : "same"} SHA-256` : "nothing to compare with"}.` : `${track.dtype}: ${difference ?? "another SHA-256, though what was recorded is the same"}.`, hash: track.sha256 });
    const all = [...verified.values()], fine = all.every((v) => v.good);
    $("#mine").className = `card ${fine ? "good" : "bad"}`;
    $("#mine .mark").hidden = false;
    $("#mine .mark").textContent = fine ? "✓" : "✗";
    $("#mine-title").textContent = fine ? "your browser: identical" : "your browser: different";
    $("#mine-text").textContent = all.map((v) => v.text).join(" ");
    $("#mine-hash").textContent = all[0].hash;
    $("#mine-start").hidden = true;
  }

  // what runs the same elsewhere, and the link
  const listOf = (rows) => rows.map((row) => row.join(",")).join(";");
  const csvOf = (task) => [[...task.inputs[0].map((_, i) => `x${i + 1}`), ...task.targets[0].map((_, j) => `y${j + 1}`)].join(","), ...task.inputs.map((row, k) => [...row, ...task.targets[k]].join(","))].join("\n") + "\n";
  function line({ task }) {
    const options = `--updates ${task.updates} --learning-rate ${task.learningRate} --seed ${task.seed} --dtype ${task.dtype} --arithmetic reproducible`;
    const known = problem.built_in && task.inputs === inputs && task.targets === targets && same(task, problem, ["layers"]);
    if (known) return `equigrad compare ${problem.name} ${options}`;
    const command = `equigrad compare --data experiment.csv ${task.targets[0].map((_, j) => `--target y${j + 1}`).join(" ")} ${task.layers.slice(1, -1).map((h) => `--hidden ${h} `).join("")}${options}`;
    return editable ? `cat > experiment.csv <<'END'\n${csvOf(task)}END\n${command}` : `# experiment.csv: inputs x1 to x${wide}, targets y1 to y${outs}; the button below saves it\n${command}`;
  }
  function fragment(texts, at = null) {
    const changed = new URLSearchParams();
    for (const field of FIELDS) if (texts[field].trim() !== start[field]) changed.set(field, texts[field].trim());
    for (const kind of ["inputs", "targets"]) if (!same(texts, start, [kind])) changed.set(kind, listOf(texts[kind].map((row) => row.map((t) => t.trim()))));
    if (at) changed.set("at", String(at));
    const text = changed.toString();
    return text ? `#lab?${text}` : "";
  }
  // The texts that a link holds; throws one line if it is no link of this page's.
  function parsed(hash) {
    if (hash.length > LONGEST_LINK) throw new Error("it is too long");
    const texts = structuredClone(start), seen = new Set();
    let at = null;
    for (const [key, value] of new URLSearchParams(hash.slice(5))) {
      if (seen.has(key)) throw new Error(`it has ${quoted(key)} twice`);
      seen.add(key);
      if (FIELDS.includes(key)) texts[key] = value;
      else if (key === "at") at = value;
      else if (["inputs", "targets"].includes(key)) {
        if (!editable) throw new Error("the data of this problem cannot be changed");
        texts[key] = value.split(";").map((row) => row.split(","));
      } else throw new Error(`it has ${quoted(key)}, which this page does not know`);
    }
    if (texts.inputs.length !== texts.targets.length) throw new Error(`it has inputs of ${texts.inputs.length} and targets of ${texts.targets.length} samples`);
    if (editable && (texts.inputs.length > MOST_ROWS || texts.inputs.some((r) => r.length !== wide) || texts.targets.some((r) => r.length !== outs))) throw new Error(`each of at most ${MOST_ROWS} samples needs ${wide} inputs and ${outs} ${outs === 1 ? "target" : "targets"}`);
    if (!Object.hasOwn(SMALLEST, texts.precision)) throw new Error(`the precision must be float64 or float32, not ${quoted(texts.precision)}`);
    return { texts, at };
  }
  async function open(hash) {
    let found;
    try { found = parsed(hash); } catch (error) { complain({ link: `The link cannot be used: ${error.message}. Nothing was changed.` }); $("#lab-status").textContent = kept(); return false; }
    fill(found.texts);
    if (!(await submit(false))) return false;
    return found.at === null || goTo(found.at);
  }
  function address(hash) { history.replaceState(null, "", hash || location.href.split("#")[0]); }

  async function submit(writes = true) {
    const texts = read(), { task, wrong, cells } = checked(texts);
    complain(wrong ?? {}, cells);
    if (wrong) { $("#lab-status").textContent = kept(); document.querySelector('[aria-invalid="true"]')?.focus({ preventScroll: !writes }); return false; }
    const good = await run(task, texts);
    if (good && writes) address(fragment(texts));
    return good;
  }
  async function change(edit) { const texts = structuredClone(start); edit(texts); fill(texts); return submit(); }
  async function reset() { address(""); fill(start); if (!shown?.own) { replay.show(REPLAY); const before = REPLAY.tracks.find((t) => t.backend === BROWSER); if (!before) { shown = null; $("#lab-status").textContent = $("#lab-hash").textContent = $("#line").textContent = ""; banner(); predictions(); if (isDigits) guess(); return; } } await submit(false); }
  function banner() {
    const differs = shown && !shown.own;
    $("#banner").hidden = !differs;
    $$(".page-run").forEach((note) => { note.hidden = !differs; });
    $("#seen-in").textContent = differs ? "in your browser, which alone has trained your experiment" : "in every framework and in your browser";
    if (differs) { const t = shown.task; $("#banner span").textContent = `Your experiment: ${t.layers.join(" → ")} units, ${t.inputs.length.toLocaleString("en")} samples, ${t.updates.toLocaleString("en")} updates, learning rate ${t.learningRate}, seed ${t.seed}, ${t.dtype}.`; }
  }

  // any update, from the nearest one that is written down
  async function goTo(text) {
    const box = $("#wrong-goto");
    box.textContent = "";
    const recording = replay.recording();
    let update;
    try { update = whole(text, 1, recording.updates); } catch (error) { box.textContent = `The update ${error.message}.`; return false; }
    const known = recording.stops.indexOf(update);
    if (known >= 0) { replay.go(known); return true; }
    const track = recording.tracks.find((t) => t.backend === BROWSER && t.dtype === replay.state.dtype);
    if (!track || !shown) { box.textContent = "Your browser has not trained this yet: press Train first."; return false; }
    const before = recording.stops.filter((s) => s < update).length - 1;
    let found = null;
    const task = { ...shown.task, dtype: track.dtype };
    const end = await inWorker(task, track.weights[before], recording.stops[before] - 1, [update], { shown: recording.shown, units: recording.units }, (news) => { if ("moment" in news) found = news; });
    if (!found) { box.textContent = `Update ${update.toLocaleString("en")} was not reached: ${end.trouble ?? "stopped"}.`; return false; }
    recording.stops.splice(before + 1, 0, update);
    for (const other of recording.tracks) {
      const mine = other === track;
      if (other.moments.length > before) other.moments.splice(before + 1, 0, mine ? found.moment : null);
      if (other.weights && !mine) { other.weights.splice(before + 1, 0, null); other.errors.splice(before + 1, 0, null); }
    }
    track.weights.splice(before + 1, 0, revived(found.weights));
    track.errors.splice(before + 1, 0, found.error);
    Object.assign(replay.state, { stop: before + 1, backend: BROWSER, arithmetic: "reproducible" });
    replay.show(recording, { keep: true });
    following = true;
    draw({ ...shown, task, track });
    return true;
  }

  // pictures, at the end of the training until the reader moves through it
  const browserTrack = () => replay.recording().tracks.find((t) => t.backend === BROWSER && t.dtype === replay.state.dtype) ?? shown?.track;
  function draw({ task, track, stops }) {
    const at = following && track.weights[replay.state.stop] ? replay.state.stop : null, weights = at === null ? track.after : track.weights[at];
    if (!weights) return;
    pictures.errorCurve($("#error-curve"), stops.slice(0, track.errors.length).map((update, s) => ({ update, error: track.errors[s] })), task.updates, at === null ? null : stops[at]);
    const network = new Perceptron(task.dtype), where = at === null ? `after ${(track.moments.length < stops.length ? stops[track.moments.length - 1] : task.updates).toLocaleString("en")} updates` : `before update ${stops[at].toLocaleString("en")}`;
    if (wide >= 2 && wide <= 12) {
      const sample = replay.recording().shown[replay.state.sample] ?? 0, base = task.inputs[sample] ?? task.inputs[0];
      pictures.surface($("#surface"), network, weights, { rows: task.inputs, targets: task.targets, base, across: Number($("#across").value), up: Number($("#up").value), unit: Number($("#surface-unit").value), coarse: track.moments.length < stops.length });
      const others = base.map((v, i) => [i, v]).filter(([i]) => i !== Number($("#across").value) && i !== Number($("#up").value));
      $("#surface-note").textContent = `The network ${where}${others.length ? `; ${others.map(([i, v]) => `input ${i + 1} is ${v}`).join(", ")}, as in sample ${(task.inputs[sample] ? sample : 0) + 1}` : ""}.`;
    }
    if (isDigits && track.moments.length === stops.length) { pictures.hiddenUnits($("#hidden-units"), weights[0]); if (at === null && track.outputs) { mistakes(track.outputs, task); guess(); } }
  }
  document.addEventListener("shown", () => {
    if (shown) { const moved = replay.state.stop !== draw.stop; draw.stop = replay.state.stop; if (moved && !settling) following = true; }
    lessons();
    const track = browserTrack(), weights = track?.weights?.[replay.state.stop];
    const seen = replay.track();
    $("#at-hash").textContent = seen && seen === track && weights ? `SHA-256 of the weights before this update, in your browser, ${track.dtype}: ${weightsHash(weights)}` : seen?.sha256 ? `SHA-256 of the weights after all updates, ${niceName(seen.backend)}, ${seen.arithmetic} ${seen.dtype}: ${seen.sha256}` : "";
    if (shown && track && !settling) draw({ task: { ...shown.task, dtype: track.dtype }, track, stops: replay.recording().stops });
  });
  let settling = false;
  const showReplay = replay.show;
  replay.show = (...args) => { settling = true; try { showReplay(...args); draw.stop = replay.state.stop; } finally { settling = false; } };
  document.addEventListener("theme", () => { if (shown) draw(shown); });
  window.addEventListener("resize", () => { if (shown) draw(shown); });

  // the five steps, with the numbers of the sample that is shown
  function lessons() {
    const { state, track, value } = replay, recording = replay.recording(), t = track(), say = (name, text) => { $(`[data-lesson="${name}"] .now-line`).textContent = text; };
    const last = recording.layers.length - 1, unit = Math.max(0, recording.targets[state.sample].indexOf(Math.max(...recording.targets[state.sample])));
    const of = (quantity) => value(t, state.stop, last, quantity)?.[state.sample][unit], z = of("preactivation");
    if (z === undefined) return;
    const a = of("activation"), where = `Sample ${recording.shown[state.sample] + 1}${recording.layers[last] > 1 ? `, ${outputName(recording.units[last][unit])}` : ""}, update ${recording.stops[state.stop].toLocaleString("en")}: `, few = (v) => (v === 0 ? "0" : Math.abs(v) < 1e-4 ? v.toExponential(2) : v.toFixed(4)).replace("-", "−");
    say("predict", `${where}z = ${few(z)}, a = ${few(a)}.`);
    say("error", `${where}${few(recording.targets[state.sample][unit])} − ${few(a)} = ${few(of("error"))}.`);
    say("delta", `${where}slope ${few(a * (1 - a))}, δ = ${few(of("delta"))}.${last > 1 ? ` Hidden unit 1${last > 2 ? ` of layer ${last - 1}` : ""}: ${["error", "delta"].map((q) => `${q === "error" ? "e" : "δ"} = ${few(value(t, state.stop, last - 1, q)[state.sample][0])}`).join(", ")}.` : ""}`);
    $("#backwards").hidden = last < 2;
    const [w, change, after] = ["weight", "change", "after"].map((q) => value(t, state.stop, last, q)[0][unit]);
    say("update", `First weight: ${few(w)} ${change < 0 ? "−" : "+"} ${few(Math.abs(change))} = ${few(after)}; the change adds up all ${recording.samples.toLocaleString("en")} samples.`);
    const mine = browserTrack(), errors = mine?.errors ?? [];
    say("repeat", errors.length ? `Mean error: ${few(errors[0])} before update 1, ${few(errors.at(-1))} before update ${recording.updates.toLocaleString("en")}.` : `${recording.updates.toLocaleString("en")} updates.`);
  }
  function anyZ() {
    const out = $("#any-z-out"), dtype = replay.state.dtype, ops = new Reproducible(dtype);
    try {
      const z = fitting(number($("#any-z").value), dtype), a = ops.sigmoidOf(ops.number(z)), one = ops.number(1 - a);
      $("#any-z").removeAttribute("aria-invalid");
      out.textContent = `σ(z) = ${exact(a, dtype)}, slope ${exact(ops.number(a * one), dtype)}`;
    } catch (error) { $("#any-z").setAttribute("aria-invalid", "true"); out.textContent = `z ${error.message}.`; }
  }

  // new inputs, with as many digits as were published
  const eight = (v) => (v >= 1e-4 ? v.toFixed(8) : v.toExponential(7));
  function predictions() {
    const wrong = $("#wrong-unseen"), body = $("#predictions").tBodies[0];
    wrong.textContent = "";
    if (!shown) { body.replaceChildren(); return; }
    const { task, track } = shown, rows = [];
    for (const [i, text] of $("#unseen").value.split("\n").entries()) {
      if (!text.trim()) continue;
      const cells = text.trim().replace(/^\[|\]$/g, "").trim().split(/\s*,\s*|\s+/);
      try {
        if (cells.length !== wide) throw new Error(`has ${cells.length} ${cells.length === 1 ? "number" : "numbers"} where ${wide} are needed${/[;|]/.test(text) ? "; commas separate them" : ""}`);
        if (rows.length >= 100) throw new Error("is one too many: at most 100 at once");
        rows.push(cells.map((cell) => fitting(number(cell), task.dtype)));
      } catch (error) { wrong.textContent = `Line ${i + 1} ${error.message}.`; $("#unseen").setAttribute("aria-invalid", "true"); return; }
    }
    $("#unseen").removeAttribute("aria-invalid");
    if (!rows.length) { body.replaceChildren(); return; }
    const out = new Perceptron(task.dtype).predict(track.after, matrixOf(rows, task.dtype));
    $("#predictions").tHead.replaceChildren(html("tr", {}, html("th", {}, "input"), ...targets[0].map((_, j) => html("th", { class: "n" }, outs === 1 ? "output" : outputName(j)))));
    body.replaceChildren(...rows.map((row, i) => html("tr", {}, html("th", { scope: "row" }, row.length > 8 ? `${row.slice(0, 4).join(" ")} …` : row.join(" ")), ...targets[0].map((_, j) => html("td", { class: "n" }, eight(out.data[i * outs + j]))))));
  }

  // digits
  const highest = (numbers) => numbers.reduce((best, v, j) => (v > numbers[best] ? j : best), 0);
  function mistakes(outputs, task) {
    const wrong = [];
    for (let k = 0; k < outputs.rows; k++) { const said = highest([...outputs.data.subarray(k * outs, (k + 1) * outs)]), is = highest(task.targets[k]); if (said !== is) wrong.push([k, said, is]); }
    $("#wrong-count").textContent = `${wrong.length.toLocaleString("en")} of ${outputs.rows.toLocaleString("en")} samples${wrong.length > 24 ? ", 24 of them here" : ""}: what it is → what the network says`;
    $("#mistakes").replaceChildren(...wrong.slice(0, 24).map(([k, said, is]) => { const picture = pictures.digit(task.inputs[k], 48); picture.setAttribute("role", "img"); picture.setAttribute("aria-label", `Sample ${k + 1}, a ${is} taken for a ${said}`); return html("figure", {}, picture, html("figcaption", {}, `${is} → ${said}`)); }));
  }
  const SIDE = 32, pad = { ink: new Uint8Array(SIDE * SIDE), x: 15, y: 8, down: false, last: null };
  function dab(x, y) { for (let i = -2; i <= 1; i++) for (let j = -2; j <= 1; j++) { const p = Math.round(y) + i, q = Math.round(x) + j; if (p >= 0 && p < SIDE && q >= 0 && q < SIDE) pad.ink[p * SIDE + q] = 1; } }
  function stroke(x, y) { const [x0, y0] = pad.last ?? [x, y], n = Math.ceil(Math.hypot(x - x0, y - y0)) || 1; for (let i = 0; i <= n; i++) dab(x0 + ((x - x0) * i) / n, y0 + ((y - y0) * i) / n); pad.last = [x, y]; padded(); }
  // As the samples were made: the drawing fills 32 x 32 dots, and each of 8 x 8 squares counts the dark ones of its 16.
  function counted() {
    const dots = [...pad.ink.keys()].filter((k) => pad.ink[k]), rows = dots.map((k) => Math.floor(k / SIDE)), columns = dots.map((k) => k % SIDE);
    const counts = new Array(64).fill(0);
    if (!dots.length) return counts;
    const top = Math.min(...rows), left = Math.min(...columns), tall = Math.max(...rows) - top + 1, broad = Math.max(...columns) - left + 1, scale = SIDE / Math.max(tall, broad * 0.9), shift = (SIDE - broad * scale) / 2;
    for (let i = 0; i < SIDE; i++) for (let j = 0; j < SIDE; j++) {
      const p = top + Math.floor(i / scale), q = left + Math.floor((j - shift) / scale);
      if (p < top + tall && q >= left && q < left + broad && pad.ink[p * SIDE + q]) counts[8 * Math.floor(i / 4) + Math.floor(j / 4)] += 1 / 16;
    }
    return counts;
  }
  let taken = null;
  function padded() { taken = null; $("#take").value = $("#wrong-take").textContent = ""; guess(); }
  function guess() {
    const canvas = $("#pad"), ink = canvas.getContext("2d"), size = canvas.width, cell = size / SIDE, numbers = taken ?? counted();
    ink.fillStyle = pictures.color("panel"); ink.fillRect(0, 0, size, size);
    if (taken) pictures.tile(ink, taken, 0, 0, size, false);
    else { ink.fillStyle = pictures.color("ink"); pad.ink.forEach((on, k) => { if (on) ink.fillRect((k % SIDE) * cell, Math.floor(k / SIDE) * cell, cell, cell); }); }
    if (document.activeElement === canvas) { ink.strokeStyle = pictures.color(pad.down ? "negative" : "browser"); ink.lineWidth = 2; ink.strokeRect((pad.x - 2) * cell, (pad.y - 2) * cell, 4 * cell, 4 * cell); }
    const empty = numbers.every((v) => v === 0);
    if (!shown || empty) { $("#guess").textContent = shown ? "Draw a digit." : "Train first, then draw a digit."; $("#guesses").replaceChildren(); return; }
    const out = [...new Perceptron(shown.task.dtype).predict(shown.track.after, matrixOf([numbers], shown.task.dtype)).data], best = highest(out);
    $("#guess").textContent = `It is a ${best}${out[best] < 0.5 ? ", perhaps" : ""}.`;
    $("#guesses").replaceChildren(...out.map((v, j) => html("div", { class: j === best ? "best" : null }, html("span", {}, String(j)), html("i", { style: `--share: ${v}` }), html("span", {}, v.toFixed(2)))));
  }

  // wiring
  if (!editable) { $("#rows-box").hidden = true; $("#rows-note").hidden = false; $("#rows-note").textContent = `${inputs.length.toLocaleString("en")} samples of ${wide} inputs and ${outs} ${outs === 1 ? "target" : "targets"}: too many to edit here.`; }
  $("#rows").tHead.replaceChildren(html("tr", {}, html("th", {}, "sample"), ...inputs[0].map((_, i) => html("th", {}, `input ${i + 1}`)), ...targets[0].map((_, j) => html("th", {}, outs === 1 ? "target" : `target ${j + 1}`)), html("td", {})));
  for (const id of ["across", "up"]) { $(`#${id}`).append(...inputs[0].map((_, i) => html("option", { value: i }, `input ${i + 1}`))); $(`#${id}`).addEventListener("change", () => { if (shown) draw(shown); }); }
  $("#up").value = String(Math.min(1, wide - 1));
  $("#surface-unit").append(...targets[0].map((_, j) => html("option", { value: j }, outputName(j).split(" ")[1])));
  $("#surface-unit").addEventListener("change", () => { if (shown) draw(shown); });
  $("#unit-of").hidden = outs === 1;
  $("#surface-box").hidden = wide < 2 || wide > 12;
  if (!editable) { const save = html("button", { type: "button", onclick: () => { if (!shown) return; const link = html("a", { href: URL.createObjectURL(new Blob([csvOf(shown.task)], { type: "text/csv" })), download: "experiment.csv" }); link.click(); URL.revokeObjectURL(link.href); } }, "Save experiment.csv"); $("#copy-link").after(" ", save); }
  // rows that are not among the samples: the other ones of zeros and ones, or halfway between two samples
  const halfway = inputs.slice(1).map((row, k) => row.map((v, i) => Number(((v + inputs[k][i]) / 2).toPrecision(6))));
  const binary = wide <= 3 && inputs.flat().every((v) => v === 0 || v === 1) ? Array.from({ length: 2 ** wide }, (_, k) => inputs[0].map((_, i) => (k >> (wide - 1 - i)) & 1)).reverse() : [];
  const known = new Set(inputs.map(String));
  $("#unseen").value = isDigits ? "" : [...binary, ...halfway].filter((row) => !known.has(String(row))).slice(0, 4).map((row) => row.join(" ")).join("\n");
  $("#predict-box").hidden = isDigits;
  $("#unseen").addEventListener("input", predictions);
  $("#experiment").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  $("#stop").addEventListener("click", () => halt?.());
  $("#reset").addEventListener("click", reset);
  $("#banner button").addEventListener("click", reset);
  $("#add-row").addEventListener("click", () => { const rows = $("#rows").tBodies[0], added = tableRow(cellsOf(rows.rows[rows.rows.length - 1])); rows.append(added); numbered(); added.querySelector("input").focus(); });
  $("#goto-form").addEventListener("submit", (event) => { event.preventDefault(); goTo($("#goto").value); });
  $("#any-z").addEventListener("input", anyZ);
  document.addEventListener("shown", anyZ);
  const TRY = {
    flip: () => change((t) => { t.targets[0] = t.targets[0].map((v) => String(1 - Number(v))); }),
    rate: () => change((t) => { t.rate = String(10 * problem.learning_rate); }),
    more: () => change((t) => { t.updates = String((inputs.length > 100 ? 4 : 10) * problem.updates); }),
    end: () => replay.go(replay.recording().stops.length - 1),
    seed: () => change((t) => { t.seed = String(problem.seed === 7 ? 8 : 7); }),
  };
  if (!editable) { const button = $('[data-try="flip"]'); button.dataset.try = "end"; button.textContent = "go to the last update"; }
  $$("[data-try]").forEach((button) => button.addEventListener("click", TRY[button.dataset.try]));
  async function copy(text, what) {
    try { await navigator.clipboard.writeText(text); $("#copied").textContent = `${what} copied.`; } catch { $("#copied").textContent = "This browser does not let a page copy: select the text instead."; if (what === "Link") $("#line").textContent = text; }
  }
  $("#copy-line").addEventListener("click", () => { if (shown) copy(line(shown), "Command"); });
  $("#copy-link").addEventListener("click", () => copy(location.href.split("#")[0] + fragment(shown?.texts ?? start, following ? replay.recording().stops[replay.state.stop] : null), "Link"));
  window.addEventListener("hashchange", () => {
    if (location.hash.startsWith("#lab?")) open(location.hash);
    else if (shown && !shown.own) address(fragment(shown.texts)); // a jump to a section keeps the experiment in the address
  });
  if (isDigits) {
    const canvas = $("#pad"), at = (event) => { const box = canvas.getBoundingClientRect(); return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE]; };
    canvas.addEventListener("pointerdown", (event) => { if (taken) pad.ink.fill(0); pad.last = null; canvas.setPointerCapture(event.pointerId); stroke(...at(event)); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) stroke(...at(event)); });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!move && event.key !== " ") return;
      event.preventDefault(); event.stopPropagation();
      if (move) { pad.x = Math.max(0, Math.min(SIDE - 1, pad.x + move[0])); pad.y = Math.max(0, Math.min(SIDE - 1, pad.y + move[1])); } else { pad.down = !pad.down; pad.last = null; if (taken) pad.ink.fill(0); }
      if (pad.down) stroke(pad.x, pad.y); else guess();
    });
    canvas.addEventListener("focus", guess);
    canvas.addEventListener("blur", () => { pad.down = false; guess(); });
    $("#clear").addEventListener("click", () => { pad.ink.fill(0); pad.last = null; padded(); });
    $("#take").addEventListener("input", (event) => { const wrong = $("#wrong-take"), { value } = event.target; taken = null; wrong.textContent = ""; try { if (value.trim()) taken = inputs[whole(value, 1, inputs.length) - 1]; } catch (error) { wrong.textContent = `The sample ${error.message}.`; } guess(); });
    guess();
  }

  fill(start);
  lessons();
  anyZ();
  const dtypes = [...new Set(REPLAY.tracks.map((t) => t.dtype))], cost = inputs.length * problem.layers.slice(1).reduce((sum, n, i) => sum + n * problem.layers[i], 0) * problem.updates;
  async function trainOwn() {
    $("#mine-start").hidden = true;
    for (const [i, dtype] of dtypes.entries()) { const texts = { ...start, precision: dtype }, { task, wrong } = checked(texts); if (wrong || !(await run(task, texts, { quiet: i > 0 }))) { $("#mine-text").textContent = wrong ? Object.values(wrong)[0] : "It did not finish; the line in the form says why."; return; } }
  }
  $("#mine-start button").addEventListener("click", trainOwn);
  if (location.hash.startsWith("#lab?")) { $("#mine-start").hidden = false; await open(location.hash); $("#lab").scrollIntoView(); }
  else if (cost <= AT_ONCE) await trainOwn();
  else { $("#mine-start").hidden = false; $("#mine-text").textContent = "It takes a while: some seconds for every hundred updates."; }
  return { run: async (hash) => { await open(hash); return shown; }, shown: () => shown };
}
