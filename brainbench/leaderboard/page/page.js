"use strict";
/* The leaderboard's page. Everything shown comes from the two JSON blocks; text enters the page as text alone (el, link),
   never as markup. The address after # says what is shown, so every view can be linked to. */

(function () {
  const UNIT = 10000; // numbers in the data are whole, in ten-thousandths
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const UNDEFINED = 63; // the character of a replicate that is not defined
  const AT_ONCE = 200; // rows drawn before somebody asks for more
  const FIELDS = ["model", "benchmark", "raw", "low", "high", "ceiling", "ceilingUpper", "normalized", "normalizedLow",
    "normalizedHigh", "layer", "best", "worst", "ties", "trust", "unranked", "reason", "curve", "subjects", "baseline",
    "gap", "verdicts"];
  const NUMBERS = ["raw", "low", "high", "ceiling", "ceilingUpper", "normalized", "normalizedLow", "normalizedHigh", "gap"];

  const data = JSON.parse(document.getElementById("data").textContent);
  const held = JSON.parse(document.getElementById("replicates").textContent);
  const models = data.models;
  const benchmarks = data.benchmarks;
  const rows = data.rows.map(readRow);

  // ---- reading -------------------------------------------------------------------------------------------------

  function number(whole) {
    return whole === null || whole === undefined ? null : whole / UNIT;
  }

  function readRow(values, index) {
    const row = { index: index };
    FIELDS.forEach((field, at) => { row[field] = values[at]; });
    NUMBERS.forEach((field) => { row[field] = number(row[field]); });
    row.curve = row.curve.map(number);
    row.subjects = row.subjects.map(number);
    row.model = models[values[0]];
    row.benchmark = benchmarks[values[1]];
    row.layerName = row.layer === null ? "" : row.model.layers[row.layer];
    row.reach = reach(row, row.ceiling);
    row.searched = [row.model.title, row.model.id, row.benchmark.id, row.benchmark.region, row.layerName,
      row.model.training_data.join(" "), row.model.submitter].join(" ").toLowerCase();
    return row;
  }

  /** A ceiling on the scale of the score. */
  function reach(row, ceiling) {
    if (ceiling === null || ceiling <= 0) return null;
    return row.benchmark.scale === "r" && row.benchmark.ceiling_scale === "r2" ? Math.sqrt(ceiling) : ceiling;
  }

  /** The replicates of a row, without what its benchmark's rows share; null where the page has none. */
  function replicates(row) {
    const packed = held[row.index];
    if (!packed) return null;
    return Array.from(packed[2], (character) => {
      const place = ALPHABET.indexOf(character);
      return place === UNDEFINED ? NaN : packed[0] + packed[1] * place;
    });
  }

  // ---- statistics ----------------------------------------------------------------------------------------------

  function quantile(sorted, share) {
    const at = share * (sorted.length - 1);
    const below = Math.floor(at);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
  }

  /** First minus second: the difference, its 95 % interval and two-sided p, from paired replicates. */
  function difference(first, second) {
    const found = { value: first.raw - second.raw, low: null, high: null, p: null, n: 0 };
    const one = replicates(first);
    const other = replicates(second);
    if (!one || !other) return found;
    const drawn = one.map((value, at) => value - other[at]).filter((value) => !Number.isNaN(value));
    found.n = drawn.length;
    if (drawn.length < 20) return found;
    drawn.sort((a, b) => a - b);
    found.low = quantile(drawn, 0.025);
    found.high = quantile(drawn, 0.975);
    const above = drawn.filter((value) => value > 0).length + 0.5 * drawn.filter((value) => value === 0).length;
    found.p = Math.min(1, 2 * (Math.min(above, drawn.length - above) + 1) / (drawn.length + 1));
    return found;
  }

  // ---- making elements -----------------------------------------------------------------------------------------

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    return filled(made, attributes, children);
  }

  function svg(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    return filled(made, attributes, children);
  }

  function filled(made, attributes, children) {
    Object.entries(attributes || {}).forEach(([name, value]) => {
      if (typeof value === "function") made.addEventListener(name, value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    });
    children.flat(Infinity).forEach((child) => {
      if (child !== null && child !== undefined) made.append(child); // a string becomes a text node
    });
    return made;
  }

  function emptied(place) {
    place.replaceChildren();
    return place;
  }

  /** A name that somebody else gave: its own direction, and no markup. */
  function named(text) {
    return el("bdi", null, text);
  }

  function inside(view, value, text) {
    return el("a", { href: "#" + view + "=" + encodeURIComponent(value) }, named(text));
  }

  function outside(address, text) {
    if (!/^https:\/\//.test(address || "")) return named(text);
    return el("a", { href: address, rel: "noopener noreferrer nofollow" }, named(text));
  }

  function shown(value, digits) {
    return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits === undefined ? 3 : digits);
  }

  function signed(value) {
    return value === null ? "–" : (value > 0 ? "+" : "") + value.toFixed(3);
  }

  function between(low, high, write) {
    return low === null || high === null ? "" : "[" + (write || shown)(low) + ", " + (write || shown)(high) + "]";
  }

  // ---- plots ---------------------------------------------------------------------------------------------------

  /** A line from low to high with a dot, a tick at the ceiling, small dots for subjects; from `from` to 1. */
  function whisker(row, from) {
    const width = 150;
    const at = (value) => (Math.max(from, Math.min(1, value)) - from) / (1 - from) * (width - 8) + 4;
    const plot = svg("svg", { viewBox: "0 0 " + width + " 18", width: width, height: 18, "aria-hidden": "true" },
      svg("line", { class: "axis", x1: 4, x2: width - 4, y1: 9, y2: 9 }));
    if (from < 0) plot.append(svg("line", { class: "zero", x1: at(0), x2: at(0), y1: 3, y2: 15 }));
    if (row.reach !== null) plot.append(svg("line", { class: "ceiling", x1: at(row.reach), x2: at(row.reach), y1: 1, y2: 17 }));
    if (row.low !== null) plot.append(svg("line", { class: "whisker", x1: at(row.low), x2: at(row.high), y1: 9, y2: 9 }));
    if (row.raw !== null) plot.append(svg("circle", { class: "dot", cx: at(row.raw), cy: 9, r: 4 }));
    return plot;
  }

  /** The score of every layer by depth; the chosen layer filled, the ceiling a line. */
  function curve(row) {
    const width = 260, height = 120, left = 34, bottom = 18;
    const values = row.curve.filter((value) => value !== null);
    const highest = Math.max(0.05, row.reach || 0, row.high || 0, ...values);
    const lowest = Math.min(0, ...values);
    const x = (depth) => left + depth * (width - left - 8);
    const y = (value) => 8 + (highest - value) / (highest - lowest) * (height - bottom - 8);
    const told = row.benchmark.label + ": score by depth, " + row.curve.length + " layers, highest " + shown(Math.max(...values));
    const plot = svg("svg", { viewBox: "0 0 " + width + " " + height, width: width, height: height, role: "img", "aria-label": told },
      svg("line", { class: "axis", x1: left, x2: width - 8, y1: y(0), y2: y(0) }),
      svg("text", { x: 2, y: y(highest) + 8 }, shown(highest, 2)), svg("text", { x: 2, y: y(0) + 4 }, "0"),
      svg("text", { x: width - 60, y: height - 3 }, "depth →"));
    if (row.reach !== null) plot.append(svg("line", { class: "ceiling", x1: left, x2: width - 8, y1: y(row.reach), y2: y(row.reach) }));
    const points = row.curve.map((value, at) => [value, number(row.model.depths[at])]).filter((point) => point[0] !== null);
    plot.append(svg("polyline", { class: "curve", points: points.map((p) => x(p[1]) + "," + y(p[0])).join(" ") }));
    row.curve.forEach((value, at) => {
      if (value === null) return;
      const name = row.model.layers[at] + ": " + shown(value) + (at === row.layer ? " (chosen)" : "");
      plot.append(svg("circle", { class: at === row.layer ? "dot" : "point", cx: x(number(row.model.depths[at])), cy: y(value),
        r: at === row.layer ? 5 : 3 }, svg("title", null, name)));
    });
    return el("figure", null, plot, el("figcaption", null, inside("benchmark", row.benchmark.fingerprint, row.benchmark.label)));
  }

  /** One bar a region: normalized where there is a ceiling, else raw, with its interval. */
  function profile(own) {
    const width = 420, line = 22, left = 190;
    const scored = own.filter((row) => row.raw !== null);
    const lows = scored.map((row) => Math.min(0, row.normalized !== null ? row.normalizedLow || 0 : row.low || 0));
    const from = Math.max(-1, Math.min(0, ...lows));
    const at = (value) => left + (Math.max(from, Math.min(1.1, value)) - from) / (1.1 - from) * (width - left - 6);
    const plot = svg("svg", { viewBox: "0 0 " + width + " " + (line * scored.length + 18), width: width, height: line * scored.length + 18,
      role: "img", "aria-label": "Score by region; the table below has the numbers" });
    scored.forEach((row, place) => {
      const share = row.normalized !== null;
      const [value, low, high] = share ? [row.normalized, row.normalizedLow, row.normalizedHigh] : [row.raw, row.low, row.high];
      const middle = place * line + line / 2;
      plot.append(svg("text", { x: 0, y: middle + 4 }, row.benchmark.label.replace(" (synthetic)", "*").slice(0, 30)),
        svg("rect", { class: share ? "bar share" : "bar", x: Math.min(at(0), at(value)), y: middle - 6, width: Math.abs(at(value) - at(0)), height: 12 }));
      if (low !== null) plot.append(svg("line", { class: "whisker", x1: at(low), x2: at(high), y1: middle, y2: middle }));
    });
    plot.append(svg("line", { class: "zero", x1: at(0), x2: at(0), y1: 0, y2: line * scored.length }),
      svg("line", { class: "ceiling", x1: at(1), x2: at(1), y1: 0, y2: line * scored.length }),
      svg("text", { x: at(1) - 4, y: line * scored.length + 14 }, "1"));
    return el("div", { class: "scroll", role: "region", "aria-label": "Profile over regions", tabindex: 0 }, plot);
  }

  // ---- the table of scores -------------------------------------------------------------------------------------

  const COLUMNS = [
    { key: "model", title: "Model", value: (r) => r.model.title.toLowerCase(), cell: (r) => modelCell(r) },
    { key: "benchmark", title: "Benchmark", value: (r) => r.benchmark.label, cell: (r) => inside("benchmark", r.benchmark.fingerprint, r.benchmark.label) },
    { key: "region", title: "Region", value: (r) => r.benchmark.region, cell: (r) => r.benchmark.region },
    { key: "raw", title: "Score, 95 % interval", value: (r) => r.raw, cell: (r) => scoreCell(r) },
    { key: "ceiling", title: "Ceiling", value: (r) => r.reach, cell: (r) => shown(r.reach) },
    { key: "normalized", title: "Normalized", value: (r) => r.normalized, cell: (r) => shown(r.normalized) },
    { key: "rank", title: "Rank", value: (r) => r.best === null ? null : r.best * 10000 + r.worst, cell: (r) => rankCell(r) },
    { key: "ties", title: "Ties", value: (r) => r.ties || null, cell: (r) => r.ties || "–" },
    { key: "layer", title: "Layer", value: (r) => r.layerName || null, cell: (r) => named(r.layerName || "–") },
    { key: "trust", title: "Trust", value: (r) => r.trust, cell: (r) => el("span", { class: "badge " + r.trust }, r.trust) },
    { key: "family", title: "Family", value: (r) => r.model.family, cell: (r) => r.model.family },
    { key: "trained", title: "Trained on", value: (r) => trained(r.model), cell: (r) => named(trained(r.model)) },
  ];

  function trained(model) {
    return model.training_data.join(", ") || "nothing (untrained)";
  }

  function modelCell(row) {
    const marks = [];
    if (row.model.division === "open") marks.push(el("span", { class: "badge" }, "open division"));
    if (row.model.brain_data) marks.push(el("span", { class: "badge" }, "trained on brain data"));
    if (row.model.stimuli) marks.push(el("span", { class: "badge" }, "trained on stimuli"));
    return el("span", null, inside("model", row.model.folder, row.model.title), " ", marks);
  }

  function scoreCell(row) {
    if (row.raw === null) return el("span", { title: row.reason }, row.unranked || "–");
    const from = row.benchmark.scale === "r" ? -0.25 : 0;
    return el("span", { class: "score" }, whisker(row, from), el("span", null, shown(row.raw), " ", el("small", null, between(row.low, row.high))));
  }

  function rankCell(row) {
    if (row.best === null) return el("span", { class: "muted" }, row.unranked || "–");
    const range = row.best === row.worst ? String(row.best) : row.best + "–" + row.worst;
    return row.model.division === "open" ? range + " (open)" : range;
  }

  /** Rows in order of a column, stable, those without a value last in either direction. */
  function sorted(list, key, down) {
    const value = COLUMNS.find((column) => column.key === key).value;
    const keyed = list.map((row, at) => ({ row: row, at: at, value: value(row) }));
    keyed.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.at - b.at;
      const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
      return (down ? -order : order) || a.at - b.at;
    });
    return keyed.map((item) => item.row);
  }

  /** A table of rows under `place`; `onSort` is told the column that a header was pressed for. */
  function table(place, list, state, onSort, without) {
    const columns = COLUMNS.filter((column) => !(without || []).includes(column.key));
    let limit = state.all ? list.length : AT_ONCE;
    const heads = columns.map((column) => {
      const on = state.sort === column.key;
      const mark = on ? (state.down ? " ▼" : " ▲") : "";
      return el("th", { scope: "col", role: "columnheader", "aria-sort": on ? (state.down ? "descending" : "ascending") : "none" },
        el("button", { type: "button", "data-sort": column.key, click: () => onSort(column.key) }, column.title, el("span", { "aria-hidden": "true" }, mark)));
    });
    const body = el("tbody", { role: "rowgroup" });
    const more = el("button", { type: "button", class: "more", click: () => { state.all = true; draw(list.length); } });
    function draw(to) {
      const from = body.rows.length;
      body.append(...list.slice(from, to).map((row) => el("tr", { role: "row", class: row.unranked ? "unranked" : null }, columns.map((column) =>
        el("td", { role: "cell", "data-label": column.title }, column.cell(row))))));
      limit = to;
      more.hidden = limit >= list.length;
      more.textContent = "Show all " + list.length + " rows";
    }
    draw(Math.min(limit, list.length));
    place.replaceChildren(
      el("div", { class: "scroll", role: "region", "aria-label": "Table of scores", tabindex: 0 },
        el("table", { role: "table", class: "rows" }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)), body)),
      list.length ? more : el("p", { class: "note" }, "No score fits this view."));
  }

  // ---- filters and their address -------------------------------------------------------------------------------

  const FILTERS = [
    { key: "species", title: "Species", of: (r) => (r.benchmark.recording.species || "unknown").split(", ") },
    { key: "modality", title: "Modality", of: (r) => (r.benchmark.recording.modality || "unknown").split(", ") },
    { key: "region", title: "Region", of: (r) => [r.benchmark.region] },
    { key: "scorer", title: "Scorer", of: (r) => [r.benchmark.scorer] },
    { key: "recording", title: "Recording", of: (r) => [r.benchmark.recording.id || "unknown"] },
    { key: "family", title: "Model family", of: (r) => [r.model.family] },
    { key: "supervision", title: "Training", of: (r) => [r.model.supervision] },
    { key: "training", title: "Training data", of: (r) => r.model.training_data.length ? r.model.training_data : ["nothing (untrained)"] },
    { key: "division", title: "Division", of: (r) => [r.model.division] },
    { key: "trust", title: "Trust", of: (r) => [r.trust] },
  ];
  const FLAGS = [
    { key: "synthetic", title: "Synthetic recordings too", keeps: (r) => !r.benchmark.synthetic },
    { key: "unranked", title: "Unranked entries too", keeps: (r) => !r.unranked },
  ];
  const START = { q: "", sort: "model", down: false, all: false };
  let state = { ...START };

  function kept() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((row) => words.every((word) => row.searched.includes(word)) &&
      FILTERS.every((filter) => !state[filter.key] || filter.of(row).includes(state[filter.key])) &&
      FLAGS.every((flag) => state[flag.key] || flag.keeps(row)));
  }

  function address() {
    const parts = new URLSearchParams();
    if (state.q) parts.set("q", state.q);
    [...FILTERS, ...FLAGS].forEach((filter) => { if (state[filter.key]) parts.set(filter.key, state[filter.key] === true ? "1" : state[filter.key]); });
    if (state.sort !== START.sort || state.down) parts.set("sort", (state.down ? "-" : "") + state.sort);
    return "#scores" + (parts.size ? "?" + parts : "");
  }

  function readAddress(text) {
    const parts = new URLSearchParams(text);
    state = { ...START, q: parts.get("q") || "" };
    FILTERS.forEach((filter) => { if (parts.get(filter.key)) state[filter.key] = parts.get(filter.key); });
    FLAGS.forEach((flag) => { if (parts.get(flag.key)) state[flag.key] = true; });
    const sort = (parts.get("sort") || START.sort).replace(/^-/, "");
    if (COLUMNS.some((column) => column.key === sort)) state.sort = sort;
    state.down = (parts.get("sort") || "").startsWith("-");
  }

  function makeFilters() {
    const form = document.getElementById("filters");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(el("label", null, "Search", el("input", { type: "search", name: "q", input: (event) => change("q", event.target.value) })));
    FILTERS.forEach((filter) => {
      const choices = [...new Set(rows.flatMap(filter.of))].sort();
      const select = el("select", { name: filter.key, change: (event) => change(filter.key, event.target.value) },
        el("option", { value: "" }, "all"), choices.map((choice) => el("option", { value: choice }, choice)));
      form.append(el("label", null, filter.title, select));
    });
    FLAGS.forEach((flag) => form.append(el("label", { class: "flag" },
      el("input", { type: "checkbox", name: flag.key, change: (event) => change(flag.key, event.target.checked) }), flag.title)));
    form.append(el("button", { type: "button", id: "reset", click: () => { state = { ...START }; showScores(true); } }, "Reset"));
  }

  function change(key, value) {
    state[key] = value;
    state.all = false;
    showScores(true);
  }

  function showScores(changed) {
    const form = document.getElementById("filters");
    [...form.elements].forEach((input) => {
      if (input.type === "checkbox") input.checked = Boolean(state[input.name]);
      else if (input.name && input.value !== (state[input.name] || "")) input.value = state[input.name] || "";
    });
    const list = sorted(kept(), state.sort, state.down);
    table(document.getElementById("scores-table"), list, state, (key) => {
      state.down = state.sort === key ? !state.down : ["raw", "normalized", "ceiling"].includes(key);
      state.sort = key;
      showScores(true);
      document.querySelector("#scores-table [data-sort=" + key + "]").focus();
    });
    document.getElementById("count").textContent = list.length + " of " + rows.length + " scores";
    document.getElementById("permalink").setAttribute("href", address());
    if (changed) history.replaceState(null, "", address());
  }

  // ---- downloads -----------------------------------------------------------------------------------------------

  function record(row) {
    return {
      model: row.model.id, title: row.model.title, folder: row.model.folder, family: row.model.family,
      supervision: row.model.supervision, training_data: row.model.training_data.join("; "), division: row.model.division,
      benchmark: row.benchmark.id, benchmark_fingerprint: row.benchmark.fingerprint, synthetic: row.benchmark.synthetic,
      region: row.benchmark.region, scorer: row.benchmark.scorer, scale: row.benchmark.scale, raw: row.raw, low: row.low, high: row.high,
      ceiling: row.ceiling, ceiling_scale: row.benchmark.ceiling_scale, normalized: row.normalized, normalized_low: row.normalizedLow,
      normalized_high: row.normalizedHigh, layer: row.layerName, rank_best: row.best, rank_worst: row.worst, ties: row.ties,
      trust: row.trust, unranked: row.unranked, submitter: row.model.submitter,
    };
  }

  /** A cell of a CSV file; text that a spreadsheet would take for a formula begins with an apostrophe. */
  function csvCell(value) {
    if (value === null) return "";
    if (typeof value !== "string") return String(value);
    const inert = /^[=+\-@\t\r\n]/.test(value) ? "'" + value : value;
    return /[",\n\r;']/.test(inert) ? '"' + inert.replaceAll('"', '""') + '"' : inert;
  }

  function csv(list) {
    const records = list.map(record);
    const names = Object.keys(record(rows[0]));
    return [names.join(","), ...records.map((r) => names.map((name) => csvCell(r[name])).join(","))].join("\r\n") + "\r\n";
  }

  function save(name, type, text) {
    const address = URL.createObjectURL(new Blob([text], { type: type }));
    el("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  // ---- one model, one benchmark --------------------------------------------------------------------------------

  function facts(pairs) {
    return el("dl", { class: "facts" }, pairs.filter((pair) => pair[1] !== "" && pair[1] !== null).map((pair) =>
      [el("dt", null, pair[0]), el("dd", null, typeof pair[1] === "string" ? named(pair[1]) : pair[1])]));
  }

  function showModel(folder) {
    const model = models.find((candidate) => candidate.folder === folder);
    const body = document.getElementById("model-body");
    document.getElementById("model-title").replaceChildren(named(model ? model.title : "No such model"));
    if (!model) return body.replaceChildren(el("p", { class: "note" }, "This page has no model of that address."));
    const own = rows.filter((row) => row.model === model);
    const scored = own.filter((row) => row.raw !== null);
    const place = el("div", null);
    const told = own.flatMap((row) => row.verdicts.map((v) => el("li", null, row.benchmark.label + ": " + v[0] + " by ", named(v[1]), ", " + v[2], v[3] ? ": " : "", named(v[3]))));
    const failed = own.filter((row) => row.raw === null);
    filled(emptied(body), null, [
      facts([["Name", model.id], ["Family", model.family], ["Training", model.supervision], ["Trained on", trained(model)],
        ["Brain data in training", model.brain_data ? "yes" : "no"], ["Benchmark stimuli in training", model.stimuli ? "yes" : "no"],
        ["Licence", model.licence], ["Division", model.division + " (" + model.submission + ")"], ["Submitted by", model.submitter],
        ["Read more", model.url ? outside(model.url, model.url) : ""], ["Weights", model.weights], ["Fingerprint", model.fingerprint],
        ["About", model.description]]),
      el("p", null, el("a", { href: "#compare=" + encodeURIComponent(folder) }, "Compare with another model")),
      el("h3", null, "Profile over regions"),
      el("p", { class: "muted" }, "Filled: normalized (1 is the ceiling). Hollow: raw, where there is no ceiling. * is synthetic."),
      profile(scored), el("h3", null, "Layer curves"),
      el("div", { class: "figures" }, scored.filter((row) => row.curve.length > 1).map(curve)),
      el("h3", null, "Scores"), place,
      el("p", { class: "muted" }, "Choosing the layer on the test stimuli would have gained " + gaps(scored) + " on average."),
      told.length ? el("h3", null, "Verdicts") : null, told.length ? el("ul", null, told) : null,
      failed.length ? el("h3", null, "Not scored") : null,
      failed.length ? el("ul", null, failed.map((row) => el("li", null, row.benchmark.label + ": ", named(row.reason)))) : null]);
    const view = { ...START, sort: "benchmark", all: true };
    const again = () => table(place, sorted(own, view.sort, view.down), view, (key) => { view.down = view.sort === key && !view.down; view.sort = key; again(); }, ["model", "family", "trained"]);
    again();
  }

  function gaps(scored) {
    const all = scored.map((row) => row.gap).filter((gap) => gap !== null);
    return all.length ? shown(all.reduce((a, b) => a + b, 0) / all.length) : "–";
  }

  function showBenchmark(name) {
    const benchmark = benchmarks.find((b) => b.fingerprint === name) || benchmarks.find((b) => b.id === name);
    const body = document.getElementById("benchmark-body");
    document.getElementById("benchmark-title").replaceChildren(named(benchmark ? benchmark.label : "No such benchmark"));
    if (!benchmark) return body.replaceChildren(el("p", { class: "note" }, "This page has no benchmark of that address."));
    const own = rows.filter((row) => row.benchmark === benchmark);
    const recording = benchmark.recording;
    const ceilings = own.map((row) => row.ceiling).filter((value) => value !== null);
    const ceiling = ceilings.length ? shown(Math.min(...ceilings)) + (Math.max(...ceilings) > Math.min(...ceilings) + 0.0005 ? " to " + shown(Math.max(...ceilings)) : "") +
      " on the scale " + benchmark.ceiling_scale + " (" + benchmark.ceiling_method + ")" : "cannot be had";
    const place = el("div", null);
    filled(emptied(body), null, [
      benchmark.synthetic ? el("p", { class: "note" }, "A synthetic recording: it tests the method and says nothing about brains.") : null,
      benchmark.current ? null : el("p", { class: "note" }, "An earlier version of this benchmark: its scores are not ranked."),
      facts([["Recording", recording.title || "unknown"], ["Species", recording.species || ""], ["Modality", recording.modality || ""], ["Region", benchmark.region],
        ["Scorer", benchmark.scorer + ", scale " + benchmark.scale], ["Version", String(benchmark.version) + " (" + benchmark.fingerprint + ")"],
        ["Stimuli", String(benchmark.n_stimuli)], ["Neuroids or RDMs", String(benchmark.n_neuroids)],
        ["Subjects", benchmark.subjects.length ? benchmark.subjects.length + ": " + benchmark.subjects.join(", ") : ""],
        ["Ceiling", ceiling], ["Intervals resample", benchmark.resampled], ["Data licence", recording.licence || ""], ["Cite", recording.citation || ""],
        ["Get the data", recording.synthetic ? "made by brainbench itself" : outside(recording.url, recording.url || "")],
        ["Run it", el("code", null, "brainbench score MODEL --benchmarks " + benchmark.id)]]),
      el("p", null, el("a", { href: "#scores?recording=" + encodeURIComponent(recording.id || "unknown") }, "All scores on this recording")),
      el("h3", null, "Models"), place]);
    const view = { ...START, sort: "rank", all: true };
    const again = () => table(place, sorted(sorted(own, "raw", true), view.sort, view.down), view, (key) => { view.down = view.sort === key && !view.down; view.sort = key; again(); }, ["benchmark", "region"]);
    again();
  }

  function listBenchmarks() {
    const byScale = benchmarks.map((benchmark) => {
      const own = rows.filter((row) => row.benchmark === benchmark && row.raw !== null);
      const best = sorted(own.filter((row) => !row.unranked), "raw", true)[0];
      return el("tr", null, el("th", { scope: "row" }, inside("benchmark", benchmark.fingerprint, benchmark.label)),
        el("td", null, benchmark.region), el("td", null, benchmark.recording.species || ""), el("td", null, benchmark.scorer),
        el("td", null, String(own.length)), el("td", null, best ? inside("model", best.model.folder, best.model.title) : "–"),
        el("td", null, best ? scoreCell(best) : "–"));
    });
    const heads = ["Benchmark", "Region", "Species", "Scorer", "Models", "Highest", "Its score"].map((title) => el("th", { scope: "col" }, title));
    document.getElementById("benchmark-list").replaceChildren(byScale.length
      ? el("div", { class: "scroll", role: "region", "aria-label": "Benchmarks", tabindex: 0 }, el("table", null, el("thead", null, el("tr", null, heads)), el("tbody", null, byScale)))
      : el("p", { class: "note" }, "There are no entries yet."));
  }

  // ---- two models ----------------------------------------------------------------------------------------------

  function makePair() {
    const form = document.getElementById("pair");
    form.addEventListener("submit", (event) => event.preventDefault());
    ["first", "second"].forEach((name) => {
      const options = models.map((model) => el("option", { value: model.folder }, model.title + (model.published ? "" : " (unpublished)")));
      form.append(el("label", null, name === "first" ? "First model" : "Second model", el("select", { name: name, change: pairChanged }, options)));
    });
  }

  function pairChanged() {
    const form = document.getElementById("pair");
    location.hash = "#compare=" + encodeURIComponent(form.elements.first.value) + "," + encodeURIComponent(form.elements.second.value);
  }

  function showCompare(value) {
    const form = document.getElementById("pair");
    const body = document.getElementById("compare-body");
    if (models.length < 2) return body.replaceChildren(el("p", { class: "note" }, "There are no two models to compare."));
    const [one, other] = (value || "").split(",").map(decodeURIComponent);
    const first = models.find((model) => model.folder === one) || models[0];
    const second = models.find((model) => model.folder === other && model !== first) || models.find((model) => model !== first);
    form.elements.first.value = first.folder;
    form.elements.second.value = second.folder;
    const pairs = rows.filter((row) => row.model === first && row.raw !== null).map((row) =>
      [row, rows.find((r) => r.model === second && r.benchmark === row.benchmark && r.raw !== null)]).filter((pair) => pair[1]);
    const found = pairs.map((pair) => ({ pair: pair, d: difference(pair[0], pair[1]) }));
    const widest = Math.max(0.02, ...found.map((item) => Math.max(Math.abs(item.d.low || 0), Math.abs(item.d.high || 0), Math.abs(item.d.value))));
    const lines = found.map((item) => el("tr", { role: "row", class: item.d.low !== null && item.d.low * item.d.high > 0 ? "apart" : null },
      el("th", { scope: "row", role: "rowheader", "data-label": "Benchmark" }, inside("benchmark", item.pair[0].benchmark.fingerprint, item.pair[0].benchmark.label)),
      el("td", { role: "cell", "data-label": "First" }, shown(item.pair[0].raw)), el("td", { role: "cell", "data-label": "Second" }, shown(item.pair[1].raw)),
      el("td", { role: "cell", "data-label": "Difference" }, el("span", { class: "score" }, differencePlot(item.d, widest), el("span", null, signed(item.d.value), " ", el("small", null, between(item.d.low, item.d.high, signed))))),
      el("td", { role: "cell", "data-label": "p" }, item.d.p === null ? "–" : item.d.p < 0.001 ? "< .001" : item.d.p.toFixed(3)),
      el("td", { role: "cell", "data-label": "Subjects" }, subjects(item.pair))));
    const n = Math.max(0, ...found.map((item) => item.d.n));
    const heads = ["Benchmark", first.title, second.title, "Difference, 95 % interval", "p", "Subjects higher with the first"];
    body.replaceChildren(
      el("p", { class: "muted" }, n ? "Paired: both models on the same " + n + " resamplings of stimuli and subjects, computed here in the page. p is two-sided, for one benchmark; look at several and some will be small by luck."
        : "This page has no room for replicates: brainbench compare has them all."),
      lines.length ? el("div", { class: "scroll", role: "region", "aria-label": "Differences", tabindex: 0 }, el("table", { role: "table", class: "rows" },
        el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads.map((head) => el("th", { scope: "col", role: "columnheader" }, named(head))))), el("tbody", { role: "rowgroup" }, lines)))
        : el("p", { class: "note" }, "No benchmark has scores of both."));
  }

  function differencePlot(d, widest) {
    const at = (value) => 75 + value / widest * 70;
    const plot = svg("svg", { viewBox: "0 0 150 18", width: 150, height: 18, "aria-hidden": "true" },
      svg("line", { class: "axis", x1: 4, x2: 146, y1: 9, y2: 9 }), svg("line", { class: "zero", x1: 75, x2: 75, y1: 2, y2: 16 }));
    if (d.low !== null) plot.append(svg("line", { class: "whisker", x1: at(d.low), x2: at(d.high), y1: 9, y2: 9 }));
    plot.append(svg("circle", { class: "dot", cx: at(d.value), cy: 9, r: 4 }));
    return plot;
  }

  function subjects(pair) {
    const both = pair[0].subjects.map((value, at) => [value, pair[1].subjects[at]]).filter((two) => two[0] !== null && two[1] !== null && two[1] !== undefined);
    return both.length ? both.filter((two) => two[0] > two[1]).length + " of " + both.length : "–";
  }

  // ---- views ---------------------------------------------------------------------------------------------------

  const VIEWS = { overview: () => {}, scores: () => showScores(false), compare: showCompare, model: showModel, benchmark: showBenchmark, about: () => {} };

  function show() {
    const text = location.hash.slice(1);
    const [, name, , value] = /^(\w*)([=?]?)(.*)$/.exec(text) || [];
    const known = Object.hasOwn(VIEWS, name) ? name : "overview";
    if (name === "main-content") return;
    Object.keys(VIEWS).forEach((view) => { document.getElementById(view).hidden = view !== known; });
    document.querySelectorAll("nav a").forEach((a) => {
      if (a.dataset.view === known) a.setAttribute("aria-current", "page");
      else a.removeAttribute("aria-current");
    });
    if (known === "scores") readAddress(value || "");
    try {
      VIEWS[known](known === "compare" ? value : decodeURIComponent(value || ""));
    } catch (error) {
      if (!(error instanceof URIError)) throw error; // an address that somebody cut short
    }
    const title = document.getElementById(known + "-title").textContent;
    document.title = title + " – brainbench leaderboard";
    document.getElementById("status").textContent = title;
    window.scrollTo(0, 0);
  }

  /** Dark, light, or as the system says; kept where the browser lets us. */
  function theme() {
    const button = document.getElementById("theme");
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    let chosen = null;
    try { chosen = localStorage.getItem("brainbench-theme"); } catch { /* a browser may keep nothing */ }
    function apply() {
      const dark = chosen === null ? system.matches : chosen === "dark";
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      button.setAttribute("aria-pressed", String(dark));
    }
    button.addEventListener("click", () => {
      chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("brainbench-theme", chosen); } catch { /* as above */ }
      apply();
    });
    system.addEventListener("change", apply);
    apply();
  }

  theme();
  makeFilters();
  makePair();
  listBenchmarks();
  document.getElementById("csv").addEventListener("click", () => save("brainbench.csv", "text/csv", csv(sorted(kept(), state.sort, state.down))));
  document.getElementById("json").addEventListener("click", () => save("brainbench.json", "application/json", JSON.stringify(sorted(kept(), state.sort, state.down).map(record), null, 1)));
  document.getElementById("permalink").addEventListener("click", (event) => { event.preventDefault(); history.pushState(null, "", address()); document.getElementById("status").textContent = "The address bar holds the link."; });
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main-content").focus(); });
  window.addEventListener("hashchange", show);
  show();
})();
