/* The page: sliders, the picture, a link that holds the state. */
"use strict";

(() => {
  const root = document.getElementById("opal-explorer");
  if (!root) return;
  const N_ALPHAS = 33, N_REPLICATES = 200, WORK = 4e9, MOST_WORK = 6e7;
  const HIGHEST = 5; // heights of the line that the picture has room for
  const SIMULATED = [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1];
  const rounded = (v) => { const k = 10 ** Math.max(0, Math.floor(Math.log10(v)) - 1); return Math.round(v / k) * k; };
  const count = (v) => v.toLocaleString("en");
  const log = (min, max) => ({
    at: (t) => rounded(min * (max / min) ** t), place: (v) => Math.log(v / min) / Math.log(max / min) });
  const linear = (min, max, digits) => ({
    at: (t) => Number((min + (max - min) * t).toFixed(digits)), place: (v) => (v - min) / (max - min) });
  const endless = (min, max) => {
    const inside = log(min, max);
    return {
      at: (t) => (t > 0.99 ? Infinity : inside.at(t / 0.98)),
      place: (v) => (v === Infinity ? 1 : 0.98 * inside.place(v)) };
  };
  const CONTROLS = {
    n: { label: "n, real rows of the large class", ...log(100, 20000), start: 1000, say: count },
    imbalance: { label: "imbalance", ...log(1, 100), start: 20, say: (v) => `${v} : 1` },
    shift: { label: "bias (SD)", ...linear(0, 0.8, 2), start: 0.2, say: String },
    augmented: { label: "N, augmented rows of each class", ...log(50, 20000), start: 1000, say: count },
    alpha: { label: "α, their weight", ...linear(0, 1, 2), start: 0.5, say: String },
    seeds: { label: "generator's rows of each class", ...endless(50, 20000), start: Infinity,
      say: (v) => (v === Infinity ? "law known" : count(v)) },
    dim: { label: "features d", options: [2, 5, 10, 20], start: 5, say: String },
    distance: { label: "distance of the classes (SD)", ...linear(0.5, 3, 1), start: 2, say: String },
  };
  const state = Object.fromEntries(Object.entries(CONTROLS).map(([name, c]) => [name, c.start]));
  const inputs = {}, outputs = {};
  let simulation = null, frame = null, drawn = null;

  function control(name, c) {
    const label = document.createElement("label"), text = document.createElement("span");
    const output = document.createElement("output");
    let input;
    if (c.options) {
      input = document.createElement("select");
      for (const option of c.options) input.add(new Option(String(option), String(option)));
      input.addEventListener("input", () => set(name, Number(input.value)));
    } else {
      input = document.createElement("input");
      Object.assign(input, { type: "range", min: 0, max: 1000, step: 1 });
      input.addEventListener("input", () => set(name, c.at(input.value / 1000)));
    }
    input.name = name;
    text.textContent = c.label;
    label.append(text, output, input);
    root.querySelector(".opal-sliders").append(label);
    [inputs[name], outputs[name]] = [input, output];
  }

  function show() {
    for (const [name, c] of Object.entries(CONTROLS)) {
      inputs[name].value = c.options ? String(state[name]) : String(Math.round(1000 * c.place(state[name])));
      outputs[name].textContent = c.options ? "" : c.say(state[name]);
      inputs[name].setAttribute("aria-valuetext", c.say(state[name]));
    }
  }

  function set(name, value) {
    if (state[name] === value) return;
    state[name] = value;
    if (name !== "alpha") stop();
    // One redraw at the next frame, however many moves of the slider came before it.
    if (frame === null) frame = requestAnimationFrame(() => { frame = null; redraw(); });
  }

  /* The state in the address, and back; what is out of range or no number is left as it was. */
  const hash = () => `#${Object.entries(state).map(([k, v]) => `${k}=${v === Infinity ? "inf" : v}`).join("&")}`;
  function address() {
    if (location.hash === hash()) return;
    try {
      history.replaceState(null, "", hash());
    } catch {
      // A browser may refuse so many changes in so little time: the next move writes it.
    }
  }
  function read() {
    for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
      if (!Object.hasOwn(CONTROLS, name) || text.trim() === "") continue;
      const c = CONTROLS[name];
      const value = text === "inf" ? Infinity : Number(text);
      if (c.options) {
        if (c.options.includes(value)) state[name] = value;
      } else if (c.place(value) >= -1e-9 && c.place(value) <= 1 + 1e-9) state[name] = c.at(c.place(value));
    }
  }

  /* Excess at every α of the grid, each solved from the neighbour's solution. */
  function curve(s) {
    const alphas = Array.from({ length: N_ALPHAS }, (_, i) => i / (N_ALPHAS - 1));
    let before = null;
    const found = alphas.map((alpha) => {
      const one = OpalTheory.solve({ ...s, alpha }, OpalTheory.kinds({ ...s, alpha }), before);
      before = one.state;
      return one;
    });
    return { alphas, excess: found.map((f) => f.excess), bias: found.map((f) => f.bias) };
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    return { text: of("--pst-color-text-base", "#222"), grid: of("--pst-color-border", "#ccc"),
      line: of("--pst-color-primary", "#0a7d91"), other: of("--pst-color-secondary", "#8045e5") };
  }

  /* The picture, drawn whole once for each theme; afterwards only its numbers change. */
  function draw(x, y, bars, top) {
    const plot = root.querySelector(".opal-plot"), theme = document.documentElement.dataset.theme;
    if (drawn === theme) {
      const visible = x.map((values, i) => i < 5 || values.length > 0);
      const bands = x.map((_, i) => (i < 5 ? undefined : bars)); // undefined leaves a trace as it is
      Plotly.update(plot, { x, y, visible, "error_y.array": bands }, { "yaxis.range": [0, top] });
      return;
    }
    drawn = theme;
    const c = colours(), axis = { gridcolor: c.grid, zerolinecolor: c.grid, fixedrange: true };
    const traces = [
      { mode: "lines", name: "theory", line: { color: c.line, width: 2.5 } },
      { mode: "lines", name: "of it, bias", line: { color: c.line, width: 1, dash: "dot" } },
      { mode: "lines", name: "weighting, free", line: { color: c.other, dash: "dash" } },
      { mode: "markers", name: "best α", marker: { symbol: "star", size: 14, color: c.line } },
      { mode: "markers", name: "chosen α", marker: { symbol: "circle-open", size: 12, color: c.text, line: { width: 2 } } },
      { mode: "markers", name: "simulated", visible: x[5].length > 0, marker: { color: c.text, size: 6 },
        error_y: { type: "data", array: bars, color: c.text, thickness: 1 } },
    ];
    traces.forEach((trace, i) => Object.assign(trace, { x: x[i], y: y[i] }));
    Plotly.react(plot, traces, {
      margin: { l: 66, r: 12, t: 10, b: 46 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: c.text, size: 13 }, showlegend: true, legend: { orientation: "h", y: -0.2, yanchor: "top" },
      xaxis: { ...axis, title: { text: "weight α of the augmented rows" }, range: [-0.02, 1.02] },
      yaxis: { ...axis, title: { text: "excess balanced risk" }, range: [0, top], tickformat: ".2~g" },
    }, { displayModeBar: false, responsive: true });
  }

  const short = (v) => (!Number.isFinite(v) ? "none" : Math.abs(v) < 1e-9 ? "0" : v.toPrecision(3));

  function redraw() {
    const started = performance.now(), s = { ...state };
    const theory = curve(s);
    const here = OpalTheory.solve(s, OpalTheory.kinds(s));
    const free = OpalTheory.solve(s, OpalTheory.weighted(s)).excess;
    const finite = theory.excess.filter(Number.isFinite);
    const best = theory.excess.indexOf(Math.min(...finite));
    const points = simulation ? simulation.points : [];
    const starred = best < 0 ? [] : [best];
    const x = [theory.alphas, theory.alphas, [0, 1], starred.map((i) => theory.alphas[i]), [s.alpha],
      points.map((p) => p.alpha)];
    const y = [theory.excess, theory.bias, [free, free], starred.map((i) => theory.excess[i]), [here.excess],
      points.map((p) => p.mean)];
    const highest = Math.max(...finite, 0), room = highest > 0 ? HIGHEST * highest : Infinity;
    const others = [free, ...points.map((p) => p.mean + 2 * p.error)].filter(Number.isFinite);
    const top = 1.15 * Math.max(highest, ...others.map((v) => Math.min(v, room)), 1e-6);
    draw(x, y, points.map((p) => 2 * p.error), top);
    numbers(s, theory, here, free, best, top);
    show();
    address();
    root.dataset.redrawMs = String(performance.now() - started);
    root.dataset.excess = String(here.excess);
  }

  function numbers(s, theory, here, free, best, top) {
    const lowest = theory.excess[best], ratio = lowest / free;
    const verdict = root.querySelector(".opal-verdict");
    if (best < 0) verdict.textContent = "Rows tend to be separable here: theory has no prediction.";
    else if (!Number.isFinite(free)) verdict.textContent = "Weighting has no prediction here: the real rows tend to be separable.";
    else verdict.textContent = ratio < 0.98
      ? `At the best α synthetic rows leave ${(100 * ratio).toFixed(0)} % of the excess of weighting, which is free.`
      : ratio > 1.02 ? `Weighting, which is free, is better at every α: at the best one the excess is ${(100 * ratio).toFixed(0)} % of weighting's.`
        : "At the best α synthetic rows do as well as weighting, which is free.";
    const seen = s.seeds === Infinity ? "law known, moved by the bias" : `${count(s.seeds)} of each class, none in training`;
    const rows = [["real rows in training", `${count(s.n)} and ${count(OpalTheory.few(s))}`], ["real rows that the generator saw", seen],
      [`excess at α = ${s.alpha}`, `${short(here.excess)}, of it bias ${short(here.bias)}`],
      ["best α, excess there", best < 0 ? "none" : `${theory.alphas[best].toFixed(2)}, ${short(lowest)}`],
      ["weighting's excess", short(free) + (Number.isFinite(free) && free > top ? ", above the picture" : "")]];
    const body = root.querySelector(".opal-numbers tbody");
    body.replaceChildren(...rows.map(([name, value]) => {
      const row = document.createElement("tr");
      row.append(...[name, value].map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    }));
  }

  /* Replicates in slices of a frame, so that sliders stay quick; the same seeds whatever the setting. */
  function simulate() {
    stop();
    const s = { ...state }, progress = root.querySelector(".opal-progress");
    const each = OpalSimulation.work(s) * SIMULATED.length;
    if (each > MOST_WORK * SIMULATED.length) {
      progress.textContent = "Too many rows and features to simulate in a browser: lower n, N or d.";
      return;
    }
    const total = Math.max(20, Math.min(N_REPLICATES, Math.floor(WORK / (6 * each))));
    const run = { points: [], values: SIMULATED.map(() => []), lost: 0, done: 0, timer: null };
    simulation = run;
    let fits = null, found = [];
    /* One fit; a replicate counts when all of its fits are there. */
    function step() {
      fits = fits || OpalSimulation.replicate(s, SIMULATED, run.done + 1);
      found.push(fits.next().value);
      if (found.length < SIMULATED.length) return;
      found.forEach((value, i) => {
        if (value === null) run.lost += 1;
        else run.values[i].push(value);
      });
      [fits, found] = [null, []];
      run.done += 1;
    }
    function slice() {
      const until = performance.now() + 30, before = run.done;
      do step(); while (run.done < total && performance.now() < until);
      const ended = run.done >= total;
      progress.textContent = `${run.done} of ${total} replicates`
        + (run.lost ? `; ${run.lost} of ${run.done * SIMULATED.length} fits had no solution` : "");
      run.points = SIMULATED.map((alpha, i) => summary(alpha, run.values[i], run.done)).filter(Boolean);
      if (run.done > before) redraw();
      if (!ended) run.timer = setTimeout(slice, 0);
      root.dataset.simulated = ended ? "done" : "running";
    }
    slice();
  }

  /* A mean over replicates; none where a tenth of them has no solution, for the mean is then of others. */
  function summary(alpha, values, done) {
    if (values.length < 2 || values.length < 0.9 * done) return null;
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1);
    return { alpha, mean, error: Math.sqrt(variance / values.length) };
  }

  function stop() {
    if (simulation) clearTimeout(simulation.timer);
    simulation = null;
    delete root.dataset.simulated;
    root.querySelector(".opal-progress").textContent = "";
  }

  for (const [name, c] of Object.entries(CONTROLS)) control(name, c);
  read();
  redraw();
  root.querySelector(".opal-simulate").addEventListener("click", simulate);
  root.querySelector(".opal-link").addEventListener("click", async () => {
    const progress = root.querySelector(".opal-progress");
    try {
      await navigator.clipboard.writeText(location.href.split("#")[0] + hash());
      progress.textContent = "Copied.";
    } catch {
      progress.textContent = "The address above holds the state: copy it.";
    }
  });
  root.querySelector(".opal-sliders").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => { stop(); read(); redraw(); });
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
