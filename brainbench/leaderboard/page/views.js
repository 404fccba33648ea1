// ---- one model, one benchmark --------------------------------------------------------------------------------

function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter((pair) => pair[1] !== "" && pair[1] !== null).map((pair) =>
    [el("dt", null, pair[0]), el("dd", null, typeof pair[1] === "string" ? named(pair[1]) : pair[1])]));
}

function stated(fact) {
  return fact === null ? "not stated" : fact ? "yes" : "no";
}

function showModel(folder) {
  const model = models.find((candidate) => candidate.folder === folder);
  const body = document.getElementById("model-body");
  filled(emptied(document.getElementById("model-title")), null, model ? [named(model.title), marks(model)] : ["No such model"]);
  if (!model) return body.replaceChildren(el("p", { class: "note" }, "This page has no model of that address."));
  const twin = comparable.find((candidate) => candidate.id === model.id + "@untrained");
  const own = rows.filter((row) => row.model === model).sort(byArea);
  const scored = own.filter((row) => row.raw !== null);
  const place = el("div", null);
  const told = own.flatMap((row) => row.verdicts.map((v) => el("li", null, row.benchmark.label + ": " + v[0] + (v[4] ? " (an earlier file)" : "") + " by ", named(v[1]), ", " + v[2], v[3] ? ": " : "", named(v[3]))));
  const failed = own.filter((row) => row.raw === null);
  const curves = scored.filter((row) => row.curve.length > 1).map(curve);
  filled(emptied(body), null, [
    facts([["Name", model.id], ["Family", model.family], ["Training", model.supervision], ["Trained on", trained(model)],
      ["Brain data in training", stated(model.brain_data)], ["Benchmark stimuli in training", stated(model.stimuli)],
      ["Licence", model.licence], ["Division", model.division + " (" + model.submission + ")"], ["Submitted by", model.submitter],
      ["Read more", model.url ? outside(model.url, model.url) : ""], ["Weights", model.weights], ["Fingerprint", model.fingerprint],
      ["About", model.description]]),
    !comparable.includes(model) ? null : el("p", null, el("a", { href: pairAddress(folder) }, "Compare with another model"),
      twin ? [" · ", el("a", { href: pairAddress(folder, twin.folder) }, "Compare with its untrained twin")] : null),
    el("h3", null, "Profile over regions"),
    el("p", { class: "muted" }, "Normalized scores, 1 is the ceiling, with their intervals; ▸ goes on beyond the plot. Regions under different scorers do not compare. Benchmarks without a ceiling are in the table below."),
    profile(scored.filter((row) => row.normalized !== null)),
    curves.length ? [el("h3", null, "Layer curves"), el("p", { class: "muted" }, "Filled: the chosen layer. Dashed: the ceiling, where there is one.")] : null,
    el("div", { class: "figures" }, curves),
    el("h3", null, "Scores"), place,
    !curves.length ? null : el("p", { class: "muted" }, "Choosing the layer on the test stimuli would have gained " + gaps(scored) + " on average."),
    told.length ? el("h3", null, "Verdicts") : null, told.length ? el("ul", null, told) : null,
    failed.length ? el("h3", null, "Not scored") : null,
    failed.length ? el("ul", null, failed.map((row) => el("li", null, row.benchmark.label + ": ", named(row.reason)))) : null]);
  ownTable(place, own, "region", ["model", "ties", "family", "trained"]);
}

function gaps(scored) {
  const all = scored.map((row) => row.gap).filter((gap) => gap !== null);
  return all.length ? shown(all.reduce((a, b) => a + b, 0) / all.length) : "–";
}

/** One number, or the lowest to the highest. */
function span(values) {
  const [lowest, highest] = [shown(Math.min(...values)), shown(Math.max(...values))];
  return lowest === highest ? lowest : lowest + " to " + highest;
}

function showBenchmark(name) {
  const versions = benchmarks.filter((b) => b.id === name);
  const benchmark = benchmarks.find((b) => b.fingerprint === name) || versions.find((b) => b.current) || versions[0];
  const body = document.getElementById("benchmark-body");
  document.getElementById("benchmark-title").replaceChildren(named(benchmark ? benchmark.label : "No such benchmark"));
  if (!benchmark) return body.replaceChildren(el("p", { class: "note" }, "This page has no benchmark of that address."));
  const own = rows.filter((row) => row.benchmark === benchmark);
  const recording = benchmark.recording;
  const sure = own.filter((row) => !row.unranked && row.model.division === "main"); // others may say what they like
  const known = (sure.length ? sure : own).filter((row) => row.ceiling !== null);
  const ceilings = span(known.map((row) => row.ceiling));
  const reached = span(known.map((row) => row.reach));
  const ceiling = known.length ? ceilings + " on the scale " + benchmark.ceiling_scale.replace("r2", "r²") +
    (reached === ceilings ? "" : " (" + reached + " on the score's scale)") + ", " + benchmark.ceiling_method : "cannot be had";
  const upper = Math.max(0, ...known.map((row) => row.ceilingUpper));
  const { n_folds, n_repeats } = benchmark.split;
  const place = el("div", null);
  filled(emptied(body), null, [
    benchmark.synthetic ? el("p", { class: "note" }, "A synthetic recording: it tests the method and says nothing about brains.") : null,
    benchmark.current ? null : el("p", { class: "note" }, "An earlier version of this benchmark: its scores are not ranked."),
    facts([["Recording", recording.title || "unknown"], ["Species", recording.species || ""], ["Modality", recording.modality || ""], ["Region", benchmark.region],
      ["Scorer", scorerName(benchmark) + ", scale " + benchmark.scale.replace("r2", "r²")], ["What it measures", benchmark.measures],
      ["Parameters", Object.entries(benchmark.params).map(([name, value]) => name + ": " + JSON.stringify(value)).join(", ")],
      ["Split", n_folds ? n_folds + " folds" + (n_repeats > 1 ? ", dealt " + n_repeats + " times" : "") : ""], ["Version", String(benchmark.version) + " (" + benchmark.fingerprint + ")"],
      ["Stimuli", String(benchmark.n_stimuli)], ["Neuroids or RDMs", String(benchmark.n_neuroids)],
      ["Subjects", benchmark.subjects.length ? benchmark.subjects.length + ": " + benchmark.subjects.join(", ") : ""],
      ["Sessions", benchmark.sessions.length ? benchmark.sessions.length + ": " + benchmark.sessions.join(", ") : ""],
      ["Ceiling", ceiling + (known.length && upper ? ", a lower bound; the upper one is " + shown(upper) : "")], ["Intervals resample", benchmark.resampled], ["Data licence", recording.licence || ""], ["Cite", recording.citation || ""],
      ["Get the data", recording.synthetic || !recording.id ? recording.synthetic ? "made by brainbench itself" : "" : [outside(recording.url, recording.url), ": ",
        el("code", null, "brainbench data locate " + recording.id), " says what is here, ", el("code", null, "brainbench data fetch " + recording.id), " gets what can be had"]],
      ["Run it", el("code", null, "brainbench score MODEL --benchmarks " + benchmark.id)]]),
    el("p", null, el("a", { href: "#scores?recording=" + encodeURIComponent(recording.id || "unknown") + (benchmark.synthetic ? "&synthetic=1" : "") }, "All scores on this recording")),
    el("h3", null, "Models"), place]);
  ownTable(place, sorted(own, "raw", true), "rank", ["benchmark", "region", "baseline"]);
}

function listBenchmarks() {
  const realFirst = benchmarks.filter((benchmark) => live.some((row) => row.benchmark === benchmark)).sort((a, b) => a.synthetic - b.synthetic || (a.label < b.label ? -1 : 1));
  const titles = ["Benchmark", "Region", "Species", "Scorer", "Models", "Highest", "Highest score"];
  const lines = realFirst.map((benchmark) => {
    const own = live.filter((row) => row.benchmark === benchmark && row.raw !== null);
    const [best, ...alike] = sorted(own.filter((row) => row.best === 1 && row.model.division === "main"), "raw", true);
    const cells = [benchmark.region, benchmark.recording.species || "", scorerName(benchmark), String(own.length),
      best ? [inside("model", best.model.folder, best.model.title), alike.length ? [" and ", benchmarkLink(benchmark, alike.length + " not told apart")] : null] : "–",
      best ? scoreCell(best) : "–"];
    return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader", "data-label": "Benchmark" }, benchmarkLink(benchmark)),
      cells.map((cell, at) => el("td", { role: "cell", "data-label": titles[at + 1] }, el("span", null, cell))));
  });
  const heads = titles.map((title) => el("th", { scope: "col", role: "columnheader" }, title));
  document.getElementById("benchmark-list").replaceChildren(lines.length
    ? el("div", { class: "scroll", role: "region", "aria-label": "Benchmarks", tabindex: 0 }, el("table", { role: "table", class: "rows" },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)), el("tbody", { role: "rowgroup" }, lines)))
    : el("p", { class: "note" }, "There are no entries yet."));
}

// ---- two models ----------------------------------------------------------------------------------------------

const comparable = models.filter((model) => live.some((row) => row.model === model));
let pair = []; // the folders of the models that are compared

function makePair() {
  const form = document.getElementById("pair");
  form.addEventListener("submit", (event) => event.preventDefault());
  ["first", "second"].forEach((name) => {
    const options = comparable.map((model) => el("option", { value: model.folder }, titleOf(model)));
    form.append(el("label", null, name === "first" ? "First model" : "Second model", el("select", { name: name, change: pairChanged }, options)));
  });
}

/** A model's title as text alone, with its folder where another model has the same. */
function titleOf(model) {
  const title = model.title + (model.published ? "" : " (unpublished)");
  return comparable.some((other) => other !== model && other.title === model.title) ? title + ", " + model.folder : title;
}

/** The address of two models; whoever chooses the other one again exchanges them. */
function pairChanged(event) {
  const { first, second } = document.getElementById("pair").elements;
  if (first.value === second.value) [first.value, second.value] = [pair[1], pair[0]];
  location.hash = pairAddress(first.value, second.value);
}

function pairAddress(...folders) {
  return "#compare=" + folders.map(encodeURIComponent).join(",");
}

function showCompare(value) {
  const form = document.getElementById("pair");
  const body = document.getElementById("compare-body");
  if (comparable.length < 2) return body.replaceChildren(el("p", { class: "note" }, "There are no two models to compare."));
  const [one, other] = value.split(",").map(decoded);
  const leading = [...data.standings.map((standing) => models[standing[0]]), ...comparable];
  const first = comparable.find((model) => model.folder === one) || leading[0];
  const second = [comparable.find((model) => model.folder === other), ...leading].find((model) => model && model !== first);
  pair = [first.folder, second.folder];
  [form.elements.first.value, form.elements.second.value] = pair;
  const absent = [one, other].filter((folder) => folder && !comparable.some((model) => model.folder === folder));
  if (value) history.replaceState(null, "", pairAddress(...pair)); // it may have named a model twice, or none that is here
  const pairs = live.filter((row) => row.model === first && row.raw !== null).sort(byArea).map((row) =>
    [row, live.find((r) => r.model === second && r.benchmark === row.benchmark && r.raw !== null)]).filter((two) => two[1]);
  const found = pairs.map((two) => ({ pair: two, d: difference(two[0], two[1]) }));
  [true, false].forEach((synthetic) => { // made-up benchmarks make no q of a brain larger, nor smaller
    const alike = found.filter((item) => item.pair[0].benchmark.synthetic === synthetic);
    adjusted(alike.map((item) => item.d.p)).forEach((q, at) => { alike[at].q = q; });
  });
  const widest = Math.max(0.02, ...found.map((item) => Math.max(Math.abs(item.d.low || 0), Math.abs(item.d.high || 0), Math.abs(item.d.value))));
  const lines = found.map((item) => el("tr", { role: "row" },
    el("th", { scope: "row", role: "rowheader", "data-label": "Benchmark" }, benchmarkLink(item.pair[0].benchmark)),
    item.pair.map((row) => el("td", { role: "cell", "data-label": row.model.title }, el("span", null, shown(row.raw), objected(row)))),
    el("td", { role: "cell", "data-label": "Difference" }, el("span", { class: "score" }, differencePlot(item.d, widest), el("span", null, signed(item.d.value), " ", el("small", null, between(item.d.low, item.d.high, signed))))),
    el("td", { role: "cell", "data-label": "p" }, bounded(item.d.p, item.d.least)), el("td", { role: "cell", "data-label": "q" }, bounded(item.q, item.d.least)),
    el("td", { role: "cell", "data-label": "Subjects" }, subjects(item.pair))));
  const n = Math.max(0, ...found.map((item) => item.d.n));
  const [least] = found.filter((item) => item.d.least).sort((a, b) => a.d.p - b.d.p);
  const finest = least ? "; " + least.d.n + " resamplings show no p below " + shown(least.d.p, 4) : "";
  const heads = ["Benchmark", first.title, second.title, "Difference, 95 % interval", "p", "q", "Subjects higher with the first"];
  body.replaceChildren(
    ...absent.map((folder) => el("p", { class: "note" }, "This page has no scores to compare of ", named(folder), "; another model takes its place.")),
    el("p", { class: "muted" }, n ? "Paired: both models on the same " + n + " resamplings of stimuli and subjects, computed here in the page. p is two-sided, for one benchmark" + finest + ". q is p after Benjamini and Hochberg over the benchmarks shown, synthetic ones apart, as some of several p will be small by luck."
      : "This page has no room for replicates: brainbench compare has them all."),
    lines.length ? el("div", { class: "scroll", role: "region", "aria-label": "Differences", tabindex: 0 }, el("table", { role: "table", class: "rows" },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads.map((head, at) => el("th", { scope: "col", role: "columnheader" }, named(head), at === 1 ? marks(first) : at === 2 ? marks(second) : null)))), el("tbody", { role: "rowgroup" }, lines)))
      : el("p", { class: "note" }, "No benchmark has scores of both."));
}

/** What is objected to a score, behind a space. */
function objected(row) {
  return ["disputed", "withdrawn"].includes(row.unranked) ? [" ", el("span", { class: "badge " + row.unranked }, row.unranked)] : null;
}

/** A p or q; one of which the replicates know only a bound, rounded up. */
function bounded(value, least) {
  return value !== null && least ? "≤ " + shown(Math.ceil(value * 1000) / 1000) : shown(value);
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
  return both.length > 1 ? both.filter((two) => two[0] > two[1]).length + " of " + both.length : "–";
}

// ---- views ---------------------------------------------------------------------------------------------------

const VIEWS = {
  overview: () => {},
  scores: (text) => { readAddress(text); showScores(false); },
  compare: showCompare,
  model: (text) => showModel(decoded(text)),
  benchmark: (text) => showBenchmark(decoded(text)),
  about: () => {},
};

/** A name in an address; as it stands there, which is nobody's name, where somebody cut it short. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show() {
  const text = location.hash.slice(1);
  const [, name, , value] = /^(\w*)([=?]?)(.*)$/.exec(text) || [];
  const known = Object.hasOwn(VIEWS, name) ? name : "overview";
  Object.keys(VIEWS).forEach((view) => { document.getElementById(view).hidden = view !== known; });
  document.querySelectorAll("nav a").forEach((a) => {
    if (a.dataset.view === known) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  });
  VIEWS[known](value || "");
  const title = document.getElementById(known + "-title").textContent;
  document.title = title + " – brainbench leaderboard";
  document.getElementById("status").textContent = title;
  window.scrollTo(0, 0);
  return known;
}

/** Shows the view of a new address. The focus goes along where what had it is gone, or a keyboard would begin anew. */
function follow() {
  const title = document.getElementById(show() + "-title");
  const at = document.activeElement;
  if (at === document.body || at.closest("[hidden]")) title.focus({ preventScroll: true });
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
document.getElementById("permalink").addEventListener("click", async (event) => {
  event.preventDefault();
  history.pushState(null, "", address());
  const told = document.getElementById("linked");
  try {
    await navigator.clipboard.writeText(location.href);
    told.textContent = "Copied";
  } catch {
    told.textContent = "The address bar holds the link";
  }
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main-content").focus(); });
window.addEventListener("hashchange", follow);
show();
