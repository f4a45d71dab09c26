"use strict";
// The index of results: filtered here, a part of the rows at a time. Texts of results only ever become text nodes.
const STEP = 200;
const FILTERS = ["status", "protocol", "name", "tag"];
const VALUES = {
  status: (each) => [each.state, ...(each.saturated ? ["saturated"] : [])], tag: (each) => each.tags,
  protocol: (each) => each.protocol ? [each.protocol] : [], name: (each) => each.name ? [each.name] : [],
};
const METRICS = {
  latency: {unit: "ms", lines: [["p50", (each) => known(each.p50_s) ? each.p50_s * 1000 : null], ["p99", (each) => known(each.p99_s) ? each.p99_s * 1000 : null]]},
  rate: {unit: "tx/s", lines: [["completed", (each) => each.completed_tps], ["requested", (each) => each.requested_tps]]},
};
const COLOURS = {ok: "good", complete: "good", running: "", incomplete: "warning", interrupted: "warning"};
let all = [], found = [], groups = new Map(), shown = STEP, metric = "latency", chart = null;
const ticked = new Set();

const idOf = (each) => each.folder.slice(each.folder.indexOf("/") + 1);
const testbedOf = (each) => each.folder.slice(0, each.folder.indexOf("/"));
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const addressOf = (each) => `${encodeURIComponent(testbedOf(each))}/${encodeURIComponent(idOf(each))}/report.html`;

// What a chart may show together: a difference in any of these is no trend.
const comparable = (each) => each.kind === "run" && known(each.began) && known(each.requested_tps);
const groupOf = (each) => [
  each.protocol, plural(each.nodes, "node"), plural(each.clients, "client"), `${each.requested_tps} tx/s`,
  `testbed ${testbedOf(each)}`, ...(each.faults ? [plural(each.faults, "fault")] : []),
].join(", ");
const groupKey = (each) => JSON.stringify([each.protocol, each.nodes, each.clients, each.requested_tps, testbedOf(each), each.faults]);

// As in ids: year, month, day; with a time where ticks are less than a day apart.
function dateOf(time, step) {
  const text = new Date(time * 1000).toISOString();
  return step < 86400 ? text.slice(5, 16).replace("T", " ") : text.slice(0, 10);
}

function fillFilters() {
  for (const name of FILTERS) {
    const values = [...new Set(all.flatMap(VALUES[name]))].sort();
    $(name).replaceChildren(new Option("all", ""), ...values.map((value) => new Option(value, value)));
  }
}

// The filters and ticks are kept in the address, so that they are still there when one comes back from a report.
function remember() {
  const kept = new URLSearchParams();
  for (const name of ["text", ...FILTERS]) if ($(name).value) kept.set(name, $(name).value);
  if ($("runs").checked) kept.set("runs", "1");
  if ($("group").value) kept.set("group", $("group").value);
  if (metric !== "latency") kept.set("metric", metric);
  for (const folder of ticked) kept.append("tick", folder);
  history.replaceState(null, "", `#${kept}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const name of ["text", ...FILTERS]) $(name).value = kept.get(name) ?? "";
  for (const name of FILTERS) if ($(name).selectedIndex < 0) $(name).value = "";
  $("runs").checked = kept.has("runs");
  if (kept.get("metric") in METRICS) metric = kept.get("metric");
  const folders = new Set(all.map((each) => each.folder));
  for (const folder of kept.getAll("tick")) if (folders.has(folder)) ticked.add(folder);
  return kept.get("group");
}

function filter(wanted) {
  const words = $("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = FILTERS.filter((name) => $(name).value).map((name) => [VALUES[name], $(name).value]);
  const matching = all.filter((each) => chosen.every(([values, value]) => values(each).includes(value)) && words.every((word) => each.searched.includes(word)));
  found = $("runs").checked ? matching : matching.filter((each) => !each.part_of);
  shown = STEP;
  fillGroups(matching, wanted);
  draw();
}

function fillGroups(matching, wanted) {
  groups = new Map();
  for (const each of matching) {
    if (!comparable(each)) continue;
    const key = groupKey(each), group = groups.get(key) ?? {text: groupOf(each), valid: [], others: 0};
    if (each.state === "ok") group.valid.push(each); else group.others += 1;
    groups.set(key, group);
  }
  const keys = [...groups.keys()].sort((a, b) => groups.get(b).valid.length - groups.get(a).valid.length);
  $("group").replaceChildren(...keys.map((key) => new Option(`${groups.get(key).text} (${groups.get(key).valid.length})`, key)));
  if (groups.has(wanted)) $("group").value = wanted;
}

function draw() {
  put($("state"), `${found.length} of ${plural(all.length, "result")}, times in UTC`);
  drawRows();
  drawTicks();
  drawTrend();
  remember();
}

function drawRows() {
  $("rows").replaceChildren(...found.slice(0, shown).map(rowOf));
  $("more").hidden = found.length <= shown;
  put($("more"), `show more (${Math.max(0, found.length - shown)} left)`);
}

function rowOf(each) {
  const row = make("tr"), tick = make("input"), link = make("a", idOf(each)), what = make("td");
  tick.type = "checkbox";
  tick.checked = ticked.has(each.folder);
  tick.setAttribute("aria-label", `compare ${idOf(each)}`);
  tick.addEventListener("change", () => { if (tick.checked) ticked.add(each.folder); else ticked.delete(each.folder); drawTicks(); remember(); });
  link.href = addressOf(each);
  const state = make("td", each.saturated && each.state === "ok" ? "saturated" : each.state, each.saturated ? "warning" : COLOURS[each.state] ?? "bad");
  if (each.reason) state.title = each.reason;
  const [first, result] = [make("td"), make("td")];
  first.append(tick);
  result.append(link);
  what.append(each.name ?? "", ...each.tags.map((tag) => make("span", tag, "tag")));
  const kind = each.kind === "run" ? each.protocol ?? "–" : `${each.protocol ?? "–"}, ${each.kind} of ${plural(each.runs, "run")}`;
  const figures = [rate(each.requested_tps), rate(each.completed_tps), ms(each.p50_s), ms(each.p99_s), known(each.failed) ? String(each.failed) : "–"];
  row.append(first, result, state, make("td", kind), ...figures.map((text) => make("td", text)), what);
  return row;
}

function drawTicks() {
  $("compare").disabled = ticked.size !== 2;
  $("clear").hidden = ticked.size === 0;
  put($("ticked"), ticked.size === 2 ? "compares the newer with the older one" : `tick two results to compare them; ${ticked.size} ticked`);
}

function drawTrend() {
  const group = groups.get($("group").value), {unit, lines} = METRICS[metric];
  for (const button of document.querySelectorAll("[data-metric]")) button.setAttribute("aria-pressed", String(button.dataset.metric === metric));
  const runs = (group?.valid ?? []).toSorted((a, b) => a.began - b.began);
  const values = lines.map(([, value]) => runs.map(value)), drawn = runs.length > 0;
  chart?.destroy();
  chart = null;
  $("chart").hidden = $("legend").hidden = !drawn;
  $("no-trend").hidden = drawn;
  put($("no-trend"), group ? "no valid run of this kind" : "no run matches the filters");
  put($("trend-note"), "");
  if (!drawn) return;
  const unknown = runs.filter((each) => lines.some(([, value]) => !known(value(each)))).length;
  put($("trend-note"), ["one point for each valid run that matches the filters, also those of experiments",
    ...(group.others ? [`${plural(group.others, "other run")} not drawn: invalid, failed or not finished`] : []),
    ...(runs.some((each) => each.saturated) ? [`saturated: ${runs.filter((each) => each.saturated).length}`] : []),
    ...(unknown ? [`with an unknown value: ${unknown}`] : [])].join("; "));
  const grid = css("line"), axis = {stroke: css("muted"), grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1}, font: "12px system-ui, sans-serif"};
  const style = (i) => ({stroke: css(SERIES[i]), dash: DASHES[i], points: {show: true, size: 6, fill: css(SERIES[i])}});
  const highest = Math.max(...values.flat().filter(known), 0);
  chart = new uPlot({
    width: $("chart").clientWidth, height: 240, padding: [12, 44, 0, 0], legend: {show: false}, cursor: {y: false, drag: {x: true, y: false}},
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    scales: {y: {range: () => [0, highest * 1.08 || 1]}},
    axes: [{...axis, space: 95, values: (_made, ticks, _axis, _space, step) => ticks.map((time) => dateOf(time, step))}, {...axis, size: 56, values: (_, ticks) => ticks.map(digits)}],
    series: [{}, ...lines.map(([label], i) => ({label, width: 1.6, spanGaps: false, ...style(i)}))],
    hooks: {setCursor: [(made) => legend(runs, values, made.cursor.idx)]},
  }, [runs.map((each) => each.began), ...values], $("chart"));
  legend(runs, values);
  const texts = lines.map(([name], i) => { const some = values[i].filter(known); return some.length ? `${name} ${digits(some[0])} to ${digits(some.at(-1))} ${unit}` : `${name} unknown`; });
  $("chart").setAttribute("aria-label", `${group.text}: ${plural(runs.length, "run")}, first to last: ${texts.join(", ")}`);
}

// The values of the run under the cursor, else of the latest one.
function legend(runs, values, at) {
  const index = known(at) ? at : runs.length - 1, {unit, lines} = METRICS[metric];
  const entries = lines.map(([name], i) => {
    const entry = make("span"), mark = make("b", name, `series-${i}`), value = values[i][index];
    entry.append(mark, ` ${known(value) ? `${digits(value)} ${unit}` : "unknown"} `);
    return entry;
  });
  $("legend").replaceChildren(...entries, make("span", idOf(runs[index]), "note"));
}

function compare() {
  if (ticked.size !== 2) return;
  // Ids begin with the time: A is the older one.
  const [a, b] = all.filter((each) => ticked.has(each.folder)).map((each) => each.folder).reverse();
  location.assign(`compare?${new URLSearchParams({a, b})}`);
}

async function start() {
  const answer = await fetch("results.json");
  if (!answer.ok) throw new Error(await answer.text());
  const {columns, rows} = await answer.json();
  all = rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
  for (const each of all) each.searched = [each.folder, each.name, ...each.tags, each.protocol, each.commit, each.kind, each.reason].filter(Boolean).join(" ").toLowerCase();
  fillFilters();
  filter(recall());
  $("filters").addEventListener("input", () => filter($("group").value));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("group").addEventListener("change", () => { drawTrend(); remember(); });
  for (const button of document.querySelectorAll("[data-metric]")) button.addEventListener("click", () => { metric = button.dataset.metric; drawTrend(); remember(); });
  $("more").addEventListener("click", () => { shown += STEP; drawRows(); });
  $("clear").addEventListener("click", () => { ticked.clear(); draw(); $("text").focus(); });
  $("compare").addEventListener("click", compare);
  addEventListener("resize", () => chart?.setSize({width: $("chart").clientWidth, height: 240}));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTrend);
}

start().catch((error) => put($("state"), `cannot show the results: ${error.message}; is \`geobench results --web\` still running?`));
