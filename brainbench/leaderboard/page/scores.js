// ---- the table of scores -------------------------------------------------------------------------------------

const COLUMNS = [
  { key: "model", title: "Model", value: (r) => r.model.title.toLowerCase(), cell: (r) => modelCell(r) },
  { key: "benchmark", title: "Benchmark", value: (r) => r.benchmark.label, cell: (r) => benchmarkLink(r.benchmark) },
  { key: "region", title: "Region", value: (r) => areaOf(r.benchmark), cell: (r) => r.benchmark.region },
  { key: "raw", title: "Score, 95 % interval", value: (r) => r.raw, cell: (r) => scoreCell(r) },
  { key: "ceiling", title: "Ceiling", value: (r) => r.reach, cell: (r) => ceilingCell(r) },
  { key: "normalized", title: "Normalized", value: (r) => r.normalized, cell: (r) => shown(r.normalized) },
  { key: "rank", title: "Rank", value: (r) => r.best === null ? null : (apart(r) * 10000 + r.best) * 10000 + r.worst, cell: (r) => rankCell(r) },
  { key: "ties", title: "Ties", value: (r) => r.ties || null, cell: (r) => tiesCell(r) },
  { key: "layer", title: "Layer", value: (r) => r.layerName || null, cell: (r) => named(r.layerName || "–") },
  { key: "baseline", title: "Over best baseline", value: (r) => r.baseline && r.baseline[1], cell: (r) => baselineCell(r) },
  { key: "trust", title: "Trust", value: (r) => r.trust, cell: (r) => el("span", { class: "badge " + r.trust }, r.trust) },
  { key: "family", title: "Family", value: (r) => r.model.family, cell: (r) => r.model.family },
  { key: "trained", title: "Trained on", value: (r) => trained(r.model), cell: (r) => named(trained(r.model)) },
];

function trained(model) {
  return model.training_data.join(", ") || "nothing";
}

/** What sets a model apart from those of the main division that saw no brain, each mark behind a space. */
function marks(model) {
  const told = [model.published ? "" : "unpublished", model.division === "open" ? "open division" : "",
    model.brain_data ? "trained on brain data" : "", model.stimuli ? "trained on stimuli" : ""];
  return told.filter(Boolean).map((text) => [" ", el("span", { class: "badge " + text }, text)]);
}

function modelCell(row) {
  return el("span", null, inside("model", row.model.folder, row.model.title), marks(row.model));
}

function scoreCell(row) {
  if (row.raw === null) return el("span", { title: row.reason }, row.unranked || "–");
  const from = row.benchmark.scale === "r" ? -0.25 : 0;
  return el("span", { class: "score" }, whisker(row, from), el("span", null, shown(row.raw), " ", el("small", null, between(row.low, row.high))));
}

/** The ceiling that scores are normalized by, and where it is a lower bound, to the upper one. */
function ceilingCell(row) {
  const upper = reach(row, row.ceilingUpper);
  return shown(row.reach) + (row.reach === null || upper === null ? "" : "–" + shown(upper));
}

/** The paired difference from the baseline that scores highest. */
function baselineCell(row) {
  if (!row.baseline) return "–";
  const [name, higher, low, high] = row.baseline;
  return el("span", null, signed(higher), " ", el("small", null, between(low, high, signed), " ", named(name.endsWith("@untrained") ? "untrained twin" : name)));
}

function rankCell(row) {
  if (row.best === null) return el("span", { class: "muted" }, row.unranked || "–");
  const range = row.best === row.worst ? String(row.best) : row.best + "–" + row.worst;
  return row.model.division === "open" ? range + " (open)" : range;
}

/** The letters of a row; a ranked one has none where its benchmark would need too many. */
function tiesCell(row) {
  if (row.ties || row.best === null) return row.ties || "–";
  return el("span", { title: "too many groups of models that cannot be told apart to letter" }, "–");
}

/** 0 for what is ranked in the main division; 1 for the rest, which comes after it however high it scores. */
function apart(row) {
  return row.best === null || row.model.division === "open" ? 1 : 0;
}

/** Rows in order of a column, stable, those without a value last in either direction; one benchmark's best score comes first. */
function sorted(list, key, down) {
  const value = COLUMNS.find((column) => column.key === key).value;
  const keyed = list.map((row, at) => ({ row: row, at: at, value: value(row) }));
  keyed.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.at - b.at;
    const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
    const better = key === "benchmark" ? apart(a.row) - apart(b.row) || (b.row.raw === null ? -1 : b.row.raw) - (a.row.raw === null ? -1 : a.row.raw) : 0;
    return (down ? -order : order) || better || a.at - b.at;
  });
  return keyed.map((item) => item.row);
}

/** Order by a column, the other way round where it is ordered by it already; of numbers the highest come first. */
function turn(view, key) {
  view.down = view.sort === key ? !view.down : ["raw", "normalized", "ceiling", "baseline"].includes(key);
  view.sort = key;
}

/** A table of one model's or one benchmark's rows, which its headers sort. */
function ownTable(place, list, key, without) {
  const view = { ...START, sort: key, all: true };
  const draw = () => table(place, sorted(list, view.sort, view.down), view, (pressed) => { turn(view, pressed); draw(); }, without);
  draw();
}

/** What headers do, where a screen is too narrow for them. */
function sorter(place, columns, state, onSort) {
  const changed = (name, key) => { onSort(key); place.querySelector("[name=" + name + "]").focus(); };
  const by = el("select", { name: "sort", change: (event) => changed("sort", event.target.value) },
    columns.map((column) => el("option", { value: column.key }, column.title)));
  const way = el("select", { name: "direction", change: () => changed("direction", state.sort) },
    el("option", { value: "up" }, "▲ ascending"), el("option", { value: "down" }, "▼ descending"));
  by.value = state.sort;
  way.value = state.down ? "down" : "up";
  return el("div", { class: "sorter" }, el("label", null, "Sort by", by), el("label", null, "Direction", way));
}

/** A table of rows under `place`; `onSort` is told the column to sort by, or to turn round. */
function table(place, list, state, onSort, without) {
  const columns = COLUMNS.filter((column) => !(without || []).includes(column.key));
  let limit = state.all ? list.length : AT_ONCE;
  const heads = columns.map((column) => {
    const on = state.sort === column.key;
    const mark = on ? (state.down ? " ▼" : " ▲") : "";
    return el("th", { scope: "col", role: "columnheader", "aria-sort": on ? (state.down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", "data-sort": column.key, click: () => { onSort(column.key); place.querySelector("[data-sort=" + column.key + "]").focus(); } }, column.title, el("span", { "aria-hidden": "true" }, mark)));
  });
  const body = el("tbody", { role: "rowgroup" });
  const more = el("button", { type: "button", class: "more", click: showAll });
  function draw(to) {
    const from = body.rows.length;
    body.append(...list.slice(from, to).map((row) => el("tr", { role: "row", class: row.unranked ? "unranked" : null }, columns.map((column) =>
      el("td", { role: "cell", "data-label": column.title }, column.cell(row))))));
    limit = to;
    more.hidden = limit >= list.length;
    more.textContent = "Show all " + list.length + " rows";
  }
  /** The button goes, and leaves the focus to the first row that it brought. */
  function showAll() {
    const drawn = body.rows.length;
    state.all = true;
    draw(list.length);
    body.rows[drawn].querySelector("a").focus();
  }
  draw(Math.min(limit, list.length));
  place.replaceChildren(
    sorter(place, columns, state, onSort),
    el("div", { class: "scroll", role: "region", "aria-label": "Table of scores", tabindex: 0 },
      el("table", { role: "table", class: "rows" }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)), body)),
    list.length ? more : el("p", { class: "note" }, "No score fits this view."));
}

// ---- filters and their address -------------------------------------------------------------------------------

// a row passes where one of the filter's values for it is the chosen one
const FILTERS = [
  { key: "species", title: "Species", of: (r) => (r.benchmark.recording.species || "unknown").split(", ") },
  { key: "modality", title: "Modality", of: (r) => (r.benchmark.recording.modality || "unknown").split(", ") },
  { key: "region", title: "Region", of: (r) => regions.filter((region) => r.benchmark.region.endsWith(region)) },
  { key: "scorer", title: "Scorer", of: (r) => [r.benchmark.scorer] },
  { key: "recording", title: "Recording", of: (r) => [r.benchmark.recording.id || "unknown"] },
  { key: "family", title: "Model family", of: (r) => [r.model.family] },
  { key: "supervision", title: "Training", of: (r) => [r.model.supervision] },
  { key: "training", title: "Training data", of: (r) => r.model.training_data.length ? r.model.training_data : ["nothing"] },
  { key: "division", title: "Division", of: (r) => [r.model.division] },
  { key: "trust", title: "Trust", of: (r) => [r.trust] },
];
const FLAGS = [
  { key: "synthetic", title: "Synthetic recordings too", hides: "because they are synthetic", keeps: (r) => !r.benchmark.synthetic },
  { key: "unranked", title: "Unranked entries too", hides: "because they have no rank", keeps: (r) => !r.unranked },
];
const ELSEWHERE = ["baseline"]; // columns that this table leaves to a model's page
const START = { q: "", sort: "benchmark", down: false, all: false };
let state = { ...START };
let unknown = []; // what an address asked for that is not here

/** The rows of this view; `other` overrides parts of it. */
function kept(other) {
  const view = { ...state, ...other };
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => words.every((word) => word.length > 3 ? row.searched.includes(word) : row.words.has(word)) &&
    FILTERS.every((filter) => !view[filter.key] || filter.of(row).includes(view[filter.key])) &&
    FLAGS.every((flag) => view[flag.key] || flag.keeps(row)));
}

/** The values that a filter has for any row. */
function choices(filter) {
  return [...new Set(rows.flatMap(filter.of))].sort();
}

function address() {
  const parts = new URLSearchParams();
  if (state.q) parts.set("q", state.q);
  [...FILTERS, ...FLAGS].forEach((filter) => { if (state[filter.key]) parts.set(filter.key, state[filter.key] === true ? "1" : state[filter.key]); });
  if (state.sort !== START.sort || state.down) parts.set("sort", (state.down ? "-" : "") + state.sort);
  const text = parts.toString();
  return "#scores" + (text ? "?" + text : "");
}

function readAddress(text) {
  const parts = new URLSearchParams(text);
  state = { ...START, q: parts.get("q") || "" };
  const asked = FILTERS.filter((filter) => parts.get(filter.key));
  const [here, absent] = [true, false].map((is) => asked.filter((filter) => choices(filter).includes(parts.get(filter.key)) === is));
  here.forEach((filter) => { state[filter.key] = parts.get(filter.key); });
  unknown = absent.map((filter) => "No " + filter.title.toLowerCase() + ' here is "' + parts.get(filter.key) + '": all are shown. ');
  FLAGS.forEach((flag) => { if (parts.get(flag.key)) state[flag.key] = true; });
  const sort = (parts.get("sort") || START.sort).replace(/^-/, "");
  if (ELSEWHERE.includes(sort) || !COLUMNS.some((column) => column.key === sort)) return;
  state.sort = sort;
  state.down = (parts.get("sort") || "").startsWith("-");
}

function makeFilters() {
  const form = document.getElementById("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(el("label", null, "Search", el("input", { type: "search", name: "q", input: (event) => change("q", event.target.value) })));
  FILTERS.forEach((filter) => {
    const select = el("select", { name: filter.key, change: (event) => change(filter.key, event.target.value) },
      el("option", { value: "" }, "all"), choices(filter).map((choice) => el("option", { value: choice })));
    form.append(el("label", null, filter.title, select));
  });
  FLAGS.forEach((flag) => form.append(el("label", { class: "flag" },
    el("input", { type: "checkbox", name: flag.key, change: (event) => change(flag.key, event.target.checked) }), flag.title)));
  form.append(el("button", { type: "button", id: "reset", click: () => { state = { ...START }; unknown = []; showScores(true); } }, "Reset"));
}

function change(key, value) {
  state[key] = value;
  state.all = false;
  unknown = [];
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
    turn(state, key);
    showScores(true);
  }, ELSEWHERE);
  FILTERS.forEach((filter) => {
    const count = new Map();
    kept({ [filter.key]: "" }).flatMap(filter.of).forEach((value) => count.set(value, (count.get(value) || 0) + 1));
    [...form.elements[filter.key].options].slice(1).forEach((option) => { option.textContent = option.value + " (" + (count.get(option.value) || 0) + ")"; });
  });
  if (!list.length) [...FLAGS.map((flag) => [flag]), FLAGS].forEach((flags) => { // a row may need both
    const all = kept(Object.fromEntries(flags.map((flag) => [flag.key, true])));
    const hidden = all.filter((row) => flags.every((flag) => !state[flag.key] && !flag.keeps(row))).length;
    const show = () => { flags.forEach((flag) => change(flag.key, true)); form.elements[flags[0].key].focus(); };
    if (hidden) document.querySelector("#scores-table .note").append(" " + hidden + " are hidden " + flags.map((flag) => flag.hides).join(" and ") + ". ", el("button", { type: "button", click: show }, "Show them"));
  });
  document.getElementById("linked").textContent = "";
  const note = document.getElementById("unknown");
  note.textContent = unknown.join("");
  note.hidden = !unknown.length;
  const past = list.filter((row) => !live.includes(row)).length; // in no other view's count
  document.getElementById("count").textContent = (list.length - past) + " of " + live.length + " scores" + (past ? " and " + past + " superseded" : "");
  document.getElementById("permalink").setAttribute("href", address());
  if (changed) history.replaceState(null, "", address());
}

// ---- downloads -----------------------------------------------------------------------------------------------

// what is saved of a row, by name
const SAVED = {
  model: (r) => r.model.id, title: (r) => r.model.title, folder: (r) => r.model.folder, family: (r) => r.model.family,
  supervision: (r) => r.model.supervision, training_data: (r) => r.model.training_data.join("; "), division: (r) => r.model.division,
  benchmark: (r) => r.benchmark.id, benchmark_fingerprint: (r) => r.benchmark.fingerprint, synthetic: (r) => r.benchmark.synthetic,
  region: (r) => r.benchmark.region, scorer: (r) => r.benchmark.scorer, scale: (r) => r.benchmark.scale, raw: (r) => r.raw, low: (r) => r.low, high: (r) => r.high,
  ceiling: (r) => r.ceiling, ceiling_upper: (r) => r.ceilingUpper, ceiling_scale: (r) => r.benchmark.ceiling_scale, normalized: (r) => r.normalized, normalized_low: (r) => r.normalizedLow,
  normalized_high: (r) => r.normalizedHigh, layer: (r) => r.layerName, rank_best: (r) => r.best, rank_worst: (r) => r.worst, ties: (r) => r.ties,
  trust: (r) => r.trust, unranked: (r) => r.unranked, submitter: (r) => r.model.submitter,
};

function record(row) {
  return Object.fromEntries(Object.entries(SAVED).map(([name, value]) => [name, value(row)]));
}

/** A cell of a CSV file; text that a spreadsheet would take for a formula, of wide characters too, begins with an apostrophe. */
function csvCell(value) {
  if (value === null) return "";
  if (typeof value !== "string") return String(value);
  const inert = /^[=+\-@＝＋－＠\t\r\n]/.test(value) ? "'" + value : value;
  return /[",\n\r;']/.test(inert) ? '"' + inert.replaceAll('"', '""') + '"' : inert;
}

/** A file for spreadsheets: without the mark at its beginning they do not take it for UTF-8. Programs have the JSON. */
function csv(list) {
  const lines = list.map((row) => Object.values(record(row)).map(csvCell).join(","));
  return "\ufeff" + [Object.keys(SAVED).join(","), ...lines].join("\r\n") + "\r\n";
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type: type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
