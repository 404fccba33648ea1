/* The leaderboard's page, in three files that the build puts into one script: parts.js reads the data and makes elements and
   plots, scores.js is the table with its filters and downloads, views.js is everything else. What is shown comes from two
   JSON blocks; text enters the page as text alone (el, named), never as markup. The address after # says what is shown, so
   every view can be linked to. */

const UNIT = 100000; // numbers in the data are whole, in hundred-thousandths
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
const regions = [...new Set(benchmarks.map((benchmark) => benchmark.region))];
const rows = data.rows.map(readRow);
const live = rows.filter((row) => row.unranked !== "superseded"); // the others are history, and in no summary

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
  row.baseline = row.baseline && [row.baseline[0], ...row.baseline.slice(1).map(number)];
  row.layerName = row.layer === null ? "" : row.model.layers[row.layer];
  row.reach = reach(row, row.ceiling);
  row.searched = [row.model.title, row.model.id, row.benchmark.id, row.benchmark.region.replace(/([a-z])([A-Z])/g, "$1 $2"),
    row.benchmark.recording.species, row.layerName, row.model.training_data.join(" "), row.model.submitter].join(" ").toLowerCase();
  row.words = new Set(row.searched.split(/[^\p{L}\p{N}]+/u));
  return row;
}

/** "ridge (version 3)" of "ridge 3". */
function scorerName(benchmark) {
  return benchmark.scorer.replace(/ (\d+)$/, " (version $1)");
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

/** First minus second: the difference, its 95 % interval and two-sided p (`least`: no replicate says otherwise), from paired replicates. */
function difference(first, second) {
  const found = { value: first.raw - second.raw, low: null, high: null, p: null, least: false, n: 0 };
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
  const fewer = Math.min(above, drawn.length - above);
  found.p = Math.min(1, 2 * (fewer + 1) / (drawn.length + 1));
  found.least = fewer === 0;
  return found;
}

/** p-values after Benjamini and Hochberg (1995); null stays null, uncounted. */
function adjusted(all) {
  const found = all.map(() => null);
  const order = [...all.keys()].filter((at) => all[at] !== null).sort((a, b) => all[b] - all[a]);
  order.reduce((q, at, larger) => (found[at] = Math.min(q, all[at] * order.length / (order.length - larger))), 1);
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

/** A link to a benchmark, by its name unless `text` is given; the name may go on in the next line behind its dot. */
function benchmarkLink(benchmark, text) {
  const [recording, ...rest] = benchmark.label.split(".");
  const name = rest.length ? [recording + ".", el("wbr"), rest.join(".")] : recording;
  return el("a", { href: "#benchmark=" + encodeURIComponent(benchmark.fingerprint) }, el("bdi", null, text || name));
}

function outside(address, text) {
  if (!/^https:\/\//.test(address || "")) return named(text);
  return el("a", { href: address, rel: "noopener noreferrer nofollow" }, named(text));
}

function shown(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return value.toFixed(digits === undefined ? 3 : digits).replace(/^-(0\.0*)$/, "$1");
}

function signed(value) {
  return value === null ? "–" : (value >= 0.0005 ? "+" : "") + shown(value);
}

function between(low, high, write) {
  return low === null || high === null ? "" : "[" + (write || shown)(low) + ", " + (write || shown)(high) + "]";
}

// ---- plots ---------------------------------------------------------------------------------------------------

/** A line from low to high with a dot, and a tick at the ceiling; from `from` to 1. */
function whisker(row, from) {
  const width = 120;
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
  const lines = row.curve.map((value, at) => el("tr", null,
    [[named(row.model.layers[at]), at === row.layer ? " (chosen)" : null], shown(number(row.model.depths[at])), shown(value)].map((cell) => el("td", null, cell))));
  const heads = ["Layer", "Depth", "Score"].map((title) => el("th", { scope: "col" }, title));
  return el("figure", null, plot, el("figcaption", null, benchmarkLink(row.benchmark)),
    el("details", null, el("summary", null, "All layers"), el("table", null, el("thead", null, el("tr", null, heads)), el("tbody", null, lines))));
}

/** Where a region lies on the way through the ventral stream; recordings of none come last, and synthetic ones after all. */
function stageOf(benchmark) {
  const known = [/^V1/, /^V2/, /^V3/, /^V4/, /IT/].findIndex((pattern) => pattern.test(benchmark.region));
  return (benchmark.synthetic ? 100 : 0) + (known < 0 ? 50 : known);
}

/** A text by which benchmarks are in the order of areas, then by region. */
function areaOf(benchmark) {
  return String(stageOf(benchmark)).padStart(3, "0") + " " + benchmark.region;
}

function byArea(a, b) {
  const order = (row) => areaOf(row.benchmark) + " " + row.benchmark.label;
  return order(a) < order(b) ? -1 : 1;
}

/** A bar of each normalized score with its interval, under headings of regions, early ones first; what is cut is marked. */
function profile(scored) {
  if (!scored.length) return el("p", { class: "note" }, "No score of this model has a ceiling.");
  const width = 324, line = 18, left = 158, highest = 1.1;
  const lowest = Math.max(-1, Math.min(0, ...scored.map((row) => row.normalizedLow || 0)));
  const at = (value) => left + (Math.max(lowest, Math.min(highest, value)) - lowest) / (highest - lowest) * (width - left - 10);
  const bars = svg("g", null);
  let y = 0, under = "";
  [...scored].sort(byArea).forEach((row) => {
    const { region, synthetic, id } = row.benchmark;
    const heading = region + (synthetic ? ", synthetic" : "");
    if (heading !== under) {
      y += line;
      bars.append(svg("text", { class: "heading", x: 0, y: y - 4 }, heading));
    }
    under = heading;
    const [low, high] = [row.normalizedLow ?? row.normalized, row.normalizedHigh ?? row.normalized];
    bars.append(svg("text", { x: 8, y: y + 13 }, id.replace("." + region + "-", " ").slice(0, 24)),
      svg("rect", { class: "share", x: Math.min(at(0), at(row.normalized)), y: y + 3, width: Math.abs(at(row.normalized) - at(0)), height: 12 }),
      svg("line", { class: "whisker", x1: at(low), x2: at(high), y1: y + 9, y2: y + 9 }));
    if (Math.max(row.normalized, high) > highest) bars.append(svg("text", { class: "cut", x: width - 9, y: y + 13 }, "▸"));
    if (Math.min(row.normalized, low) < lowest) bars.append(svg("text", { class: "cut", x: left - 9, y: y + 13 }, "◂"));
    y += line;
  });
  const ticks = [[0, "0", "zero"], [0.5, ".5", "axis"], [1, "1", "ceiling"]].map(([value, text, kind]) => [
    svg("line", { class: kind, x1: at(value), x2: at(value), y1: 4, y2: y + 2 }), svg("text", { class: "tick", x: at(value) - 3, y: y + 14 }, text)]);
  const plot = svg("svg", { class: "profile", viewBox: "0 0 " + width + " " + (y + 18), role: "img", "aria-label": "Normalized score by region; the table below has the numbers" }, ticks, bars);
  return el("div", { role: "region", "aria-label": "Profile over regions" }, plot);
}
