"use strict";
// The live page: one stream of messages, drawn with uPlot. Texts of hosts only ever become text nodes.
const PHASES = [
  ["connect", "connect"], ["check", "check"], ["install", "install"], ["configure", "configure"],
  ["monitor", "monitoring"], ["start_nodes", "start nodes"], ["start_clients", "start clients"],
  ["warm_up", "warm up"], ["measure", "measure"], ["settle", "settle"], ["stop", "stop"], ["collect", "collect"],
];
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
const MOST_LINES = 6, MOST_EVENTS = 300;

let run, steps = [], connected = false, closed = false;
const choice = {latency: "p99_s", network: "sent_bytes_per_s"};

function fresh() {
  run = {header: null, state: {status: "starting", reasons: []}, started: null, phases: new Map(), phase: null,
    progress: [], samples: [], faults: [], events: [], load: null, window: null, end: null, latest: null, before: []};
}

const clock = (seconds) => {
  const whole = Math.max(0, Math.round(seconds)), two = (value) => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
};
const result = (state, name) => (state.unbounded?.includes(name) ? "> " : "") + ms(state[name]);
const now = () => Date.now() / 1000;

// Events of the run.
const on = {
  run_started(event) { run.started = event; run.phases.clear(); },
  phase_started(event) {
    run.phase = {name: event.name, since: event.time};
    if (event.name === "warm_up") run.load ??= event.time;
    if (event.name === "measure") run.window = event.time;
  },
  phase_ended(event) {
    run.phases.set(event.name, (run.phases.get(event.name) ?? 0) + event.seconds);
    if (run.phase?.name === event.name) run.phase = null;
    if (event.name === "measure") run.end = event.time;
  },
  progress(event) { run.progress.push(event); run.latest = event; run.load ??= event.time; },
  fault_injected(event) {
    run.faults.push({name: event.fault, from: event.time, to: null});
    note(event, `fault ${event.fault} (${event.nodes.join(", ")}) in force: ${event.proof}`, "bad");
  },
  fault_healed(event) {
    const open = run.faults.find((each) => each.name === event.fault && each.to === null);
    if (open) open.to = event.time;
    note(event, `fault ${event.fault} (${event.nodes.join(", ")}) healed: ${event.proof}`, "good");
  },
  warning(event) { note(event, event.text, "warning"); },
  step(event) { note(event, event.text, ""); },
  summary_written() {}, plan_announced() {},
};

function note(event, text, kind) {
  run.events.push(event);
  const item = make("li"), time = make("time", new Date(event.time * 1000).toTimeString().slice(0, 8));
  item.append(time, make("span", text, kind));
  $("events").prepend(item);
  $("no-events").hidden = true;
  while ($("events").childElementCount > MOST_EVENTS) $("events").lastElementChild.remove();
}

const messages = {
  reset() { fresh(); steps = []; $("events").replaceChildren(); $("no-events").hidden = false; $("log").hidden = true; put($("log"), ""); },
  header(header) { run.header = header; fillProcesses(); },
  events(events) { for (const event of events) on[event.kind]?.(event); },
  samples(samples) { run.samples.push(...samples); },
  state(state) { run.state = state; },
  // Empty once a run has ended: what preceded it stays with it.
  steps(added) {
    if (!added.length) run.before = steps;
    steps = added.length ? steps.concat(added) : [];
  },
  runs(states) { drawRuns(states); },
  closed() { closed = true; },
};

// Charts.
class Plot {
  constructor(id, {unit, floor = 1}) {
    this.unit = unit;
    this.floor = floor;
    this.hidden = new Set();
    this.box = make("div", undefined, "plot");
    this.canvas = make("div");
    this.canvas.setAttribute("role", "img");
    this.empty = make("p", "no samples yet", "empty");
    this.legend = make("div", undefined, "legend");
    this.box.append(this.canvas, this.empty);
    $(id).append(this.box, this.legend);
    this.title = $(id).querySelector("b").textContent;
    this.names = null;
  }

  // `lines`: name and values; `times` are seconds since the load began.
  draw(times, lines) {
    const some = lines.some((line) => line.values.some(known));
    this.empty.hidden = some;
    this.canvas.hidden = !some;
    this.legend.hidden = !some;
    if (!some) return;
    const names = lines.map((line) => line.name).join("\n");
    if (names !== this.names || !this.chart) this.build(lines, names);
    this.lines = lines;
    const width = this.box.clientWidth;
    if (width !== this.chart.width) this.chart.setSize({width, height: 208});
    this.chart.setData([times, ...lines.map((line) => line.values)]);
    this.show();
  }

  build(lines, names) {
    this.chart?.destroy();
    this.canvas.replaceChildren();
    this.names = names;
    const [ink, grid] = [css("muted"), css("line")];
    const axis = {stroke: ink, grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1}, font: "12px system-ui, sans-serif"};
    const style = (i) => ({stroke: css(SERIES[i % SERIES.length]), dash: DASHES[(i + Math.floor(i / SERIES.length)) % DASHES.length]});
    this.chart = new uPlot({
      width: this.box.clientWidth, height: 208, legend: {show: false}, cursor: {y: false, drag: {x: true, y: false}},
      scales: {x: {time: false}, y: {range: (_, least, most) => [0, Math.max(this.floor, (most ?? 0) * 1.08)]}},
      axes: [
        {...axis, size: 28, values: (_, ticks) => ticks.map((each) => each < 0 ? `-${clock(-each)}` : clock(each)), space: 60, incrs: SECONDS},
        {...axis, size: 52, values: (_, ticks) => ticks.map(digits)},
      ],
      series: [{}, ...lines.map((line, i) => ({label: line.name, width: 1.6, points: {show: false}, show: !this.hidden.has(line.name), spanGaps: false, ...style(i)}))],
      hooks: {drawClear: [bands], setCursor: [() => this.show()]},
    }, [[], ...lines.map(() => [])], this.canvas);
    this.legend.replaceChildren(...lines.map((line, i) => this.entry(line.name, i, style(i))));
  }

  entry(name, i, {stroke, dash}) {
    const button = make("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
    const SVG = "http://www.w3.org/2000/svg", line = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
    line.setAttribute("viewBox", "0 0 27 10");
    line.setAttribute("aria-hidden", "true");
    for (const [key, value] of Object.entries({d: "M0 5H27", stroke, "stroke-width": 2.4, "stroke-dasharray": dash.join(" ")})) path.setAttribute(key, value);
    line.append(path);
    button.append(line, make("span", name), make("b"));
    button.addEventListener("click", () => {
      const shown = this.hidden.has(name);
      if (shown) this.hidden.delete(name); else this.hidden.add(name);
      button.setAttribute("aria-pressed", String(shown));
      this.chart.setSeries(i + 1, {show: shown});
    });
    return button;
  }

  // The values under the cursor, else the latest ones.
  show() {
    if (!this.lines) return;
    const at = this.chart.cursor.idx;
    const texts = this.lines.map((line) => {
      const value = known(at) ? line.values[at] : line.values.findLast(known);
      return known(value) ? `${digits(value)} ${this.unit}`.trim() : "–";
    });
    [...this.legend.children].forEach((button, i) => put(button.querySelector("b"), texts[i]));
    const label = `${this.title}: ${this.lines.map((line, i) => `${line.name} ${texts[i]}`).join(", ")}`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }
}

// The measured window and the faults, behind the lines.
function bands(chart) {
  const {ctx, bbox} = chart;
  const x = (time) => Math.min(bbox.left + bbox.width, Math.max(bbox.left, chart.valToPos(time - run.load, "x", true)));
  ctx.save();
  if (run.window) {
    ctx.fillStyle = css("window");
    const from = x(run.window);
    ctx.fillRect(from, bbox.top, x(run.end ?? now()) - from, bbox.height);
  }
  for (const fault of run.faults) {
    const [from, to] = [x(fault.from), x(fault.to ?? (run.end ?? now()))];
    ctx.fillStyle = ctx.strokeStyle = css("bad");
    ctx.globalAlpha = 0.16;
    ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height);
    ctx.globalAlpha = 1;
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    if (to - from > 30 * devicePixelRatio) ctx.fillText(fault.name.split("@")[0], from + 4 * devicePixelRatio, bbox.top + 13 * devicePixelRatio, to - from - 6 * devicePixelRatio);
  }
  ctx.restore();
}

fresh();
const plots = {
  rate: new Plot("chart-rate", {unit: ""}), errors: new Plot("chart-errors", {unit: ""}),
  latency: new Plot("chart-latency", {unit: "ms"}), cpu: new Plot("chart-cpu", {unit: "%", floor: 100}),
  network: new Plot("chart-network", {unit: "", floor: 0.01}),
};

// The lines with the highest latest values; all others would hide them.
function busiest(lines) {
  if (lines.length <= MOST_LINES) return lines;
  const latest = (line) => line.values.findLast(known) ?? -1;
  const chosen = new Set([...lines].sort((a, b) => latest(b) - latest(a)).slice(0, MOST_LINES));
  return lines.filter((line) => chosen.has(line));
}

function drawCharts() {
  const times = run.progress.map((each) => each.time - run.load);
  const column = (name) => run.progress.map((each) => each[name] ?? null);
  plots.rate.draw(times, [{name: "scheduled", values: column("scheduled_tps")}, {name: "completed", values: column("completed_tps")}]);
  plots.errors.draw(times, [{name: "errors", values: column("errors_tps")}]);
  const samples = run.samples, at = samples.map((each) => each.time - run.load);
  const regions = run.header?.regions.map((each) => each.name) ?? [];
  const inSeconds = (each, region) => each.regions?.[region]?.latencies_s?.[choice.latency];
  plots.latency.draw(at, regions.map((name) => ({name, values: samples.map((each) => { const value = inSeconds(each, name); return known(value) ? value * 1000 : null; })})));
  const machines = [...new Set(run.header?.hosts.map((each) => each.machine) ?? [])];
  const first = new Map(machines.map((machine) => [machine, run.header.hosts.find((each) => each.machine === machine).name]));
  const percent = (each, host) => { const value = each.hosts?.[host]?.cpu_busy; return known(value) ? value * 100 : null; };
  plots.cpu.draw(at, busiest(machines.map((name) => ({name, values: samples.map((each) => percent(each, first.get(name)))}))));
  const traffic = (each, host) => { const value = each.hosts?.[host]?.[choice.network]; return known(value) ? value / 1e6 : null; };
  plots.network.draw(at, busiest((run.header?.hosts ?? []).map(({name}) => ({name, values: samples.map((each) => traffic(each, name))}))));
  for (const [id, total, what] of [["chart-cpu", machines.length, "% busy"], ["chart-network", run.header?.hosts.length ?? 0, "MB/s"]]) {
    put($(id).querySelector("figcaption span"), total > MOST_LINES ? `${what}, the busiest ${MOST_LINES} of ${total}` : what);
  }
}

// Everything but the charts.
function drawHeader() {
  const {header, state, started} = run, name = header?.name || header?.run_id || started?.run_id;
  put($("title"), name ?? (steps.length ? "preparing the testbed" : "waiting for a run"));
  document.title = name ? `${state.status} · ${name}` : "geobench";
  const kinds = {ok: "good", running: "", starting: "", invalid: "bad", failed: "bad", killed: "bad", damaged: "bad", interrupted: "warning"};
  const badge = $("badge");
  badge.hidden = !name;
  badge.className = `badge ${state.saturated ? "warning" : kinds[state.status]}`;
  put(badge, state.status === "ok" ? (state.saturated ? "valid, saturated" : "valid") : state.status === "invalid" ? "invalid: do not use" : state.status);
  const facts = header?.protocol ? [`${header.protocol}, ${header.nodes} nodes, ${header.clients} clients`, `testbed ${header.testbed}`] : [];
  if (started) facts.push(`requested ${rate(started.requested_tps)} tx/s`);
  if (header?.name) facts.push(header.run_id);
  const subtitle = $("subtitle"), report = state.report && !closed;
  if (subtitle.dataset.text !== facts.join() + report) {
    subtitle.dataset.text = facts.join() + report;
    subtitle.replaceChildren(facts.join(" · "));
    if (report) {
      const link = make("a", "report");
      link.href = "report";
      link.target = "_blank";
      subtitle.append(" · ", link);
    }
  }
  const reasons = state.reasons ?? [];
  $("reasons").hidden = reasons.length === 0;
  if ($("reasons").textContent !== reasons.join("")) $("reasons").replaceChildren(...reasons.map((text) => make("li", text)));
  put($("connection"), closed ? "the command has ended; `geobench watch` shows this run again" : connected ? "" : "connection lost, trying again");
}

function drawPhases() {
  // Between runs, the phases are those of the next one.
  const between = steps.length > 0 && (!run.header || ended());
  const spent = new Map();
  let current = null;
  for (const event of between ? steps : [...run.before, ...steps]) {
    if (event.kind === "phase_started") current = {name: event.name, since: event.time};
    if (event.kind === "phase_ended") { spent.set(event.name, (spent.get(event.name) ?? 0) + event.seconds); if (current?.name === event.name) current = null; }
  }
  if (!between) {
    current = ended() ? null : run.phase ?? current;
    for (const [phase, seconds] of run.phases) spent.set(phase, (spent.get(phase) ?? 0) + seconds);
  }
  const items = PHASES.map(([name, text]) => {
    const active = current?.name === name, done = spent.get(name);
    const seconds = active ? clock(now() - current.since) : known(done) ? (done < 10 ? `${done.toFixed(1)} s` : clock(done)) : "";
    const item = make("li", seconds ? `${text} ${seconds}` : text, active ? "now" : known(done) ? "done" : "");
    if (active) item.setAttribute("aria-current", "step");
    return item;
  });
  $("phases").replaceChildren(...items);
  drawLeft(between, current);
}

const ended = () => !["starting", "running"].includes(run.state.status);

function drawLeft(between, current) {
  const parts = [], {started, latest, state} = run;
  const more = started?.runs > 1 || (started?.number > 1 && !known(started?.runs));
  if (started && more) parts.push(known(started.runs) ? `run ${started.number} of ${started.runs}` : `run ${started.number}`);
  const bar = $("bar");
  bar.hidden = true;
  if (between) parts.push("preparing the next run");
  else if (!ended() && latest && ["warm_up", "monitor", "measure"].includes(current?.name)) {
    const left = Math.max(0, latest.left_s - (now() - latest.time)), whole = Math.max(latest.time + latest.left_s - run.load, 1e-9);
    const share = Math.min(1, Math.max(0, 1 - left / whole));
    bar.hidden = false;
    bar.firstElementChild.style.transform = `scaleX(${share})`;
    bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
    parts.push(`${clock(left)} left of this run's load`);
  }
  if (!ended() && known(started?.ends)) {
    const left = started.ends - now();
    const at = new Date(started.ends * 1000).toTimeString().slice(0, 5);
    if (left > 0) parts.push(`about ${clock(left)} left of the command, until ${at}`);
    else if (!["stop", "collect"].includes(current?.name)) parts.push("the command takes longer than expected");
  }
  if (ended() && !between) parts.push(state.status === "killed" ? "the runner is gone" : "this run has ended");
  put($("left"), parts.join(" · "));
}

function drawTiles() {
  const {latest, state} = run, over = ended() && known(state.completed_tps);
  const tiles = over
    ? [["requested", `${rate(state.requested_tps)} tx/s`], ["completed", `${rate(state.completed_tps)} tx/s`], ["p50", result(state, "p50_s")], ["p99", result(state, "p99_s")]]
    : [["scheduled", `${rate(latest?.scheduled_tps)} tx/s`], ["completed", `${rate(latest?.completed_tps)} tx/s`], ["p50", ms(latest?.latencies_s?.p50_s)],
      ["p99", ms(latest?.latencies_s?.p99_s)], ["errors", `${rate(latest?.errors_tps)} /s`, latest?.errors_tps > 0], ["nodes up", up(latest?.nodes_up, latest?.nodes), latest?.nodes_up < latest?.nodes]];
  $("tiles").replaceChildren(...tiles.map(([name, value, bad]) => {
    const tile = make("div");
    tile.append(make("dt", over && name !== "requested" ? `${name}, result` : name), make("dd", value, bad ? "bad" : ""));
    return tile;
  }));
}

const up = (some, all) => known(some) && known(all) ? `${some} of ${all}` : "–";

function trips() {
  const latest = run.samples.findLast((each) => Object.keys(each.round_trips_ms ?? {}).length) ?? {};
  const live = latest.round_trips_ms ?? {}, before = run.header?.round_trips_ms ?? {}, found = new Map();
  for (const pair of Object.keys({...before, ...live})) {
    const [a, b] = pair.split("/").sort(), value = pair in live ? live[pair] : before[pair];
    const both = found.get(`${a}/${b}`) ?? {a, b, all: []};
    both.all.push(value);
    found.set(`${a}/${b}`, both);
  }
  return [...found.values()].filter(({a, b}) => a !== b).map(({a, b, all}) => ({a, b, ms: all.some((each) => !known(each)) ? null : all.reduce((x, y) => x + y) / all.length}));
}

function drawRegions() {
  const latest = run.samples.findLast((each) => Object.keys(each.regions ?? {}).length)?.regions ?? {};
  const regions = run.header?.regions ?? [];
  $("regions").replaceChildren(...regions.map(({name}) => {
    const row = make("tr"), stats = latest[name] ?? {}, latencies = stats.latencies_s ?? {};
    const head = make("th", name);
    head.scope = "row";
    row.append(head, ...[rate(stats.completed_tps), ms(latencies.p50_s), ms(latencies.p99_s), ms(latencies.mean_s)].map((text) => make("td", text)),
      make("td", rate(stats.errors_tps), stats.errors_tps > 0 ? "bad" : ""), make("td", up(stats.nodes_up, stats.nodes), stats.nodes_up < stats.nodes ? "bad" : ""), make("td", rate(stats.scheduled_tps)));
    return row;
  }));
  $("regions-note").hidden = !ended();
  worldMap($("map"), regions, trips(), (name) => {
    const p99 = latest[name]?.latencies_s?.p99_s;
    return known(p99) ? [name, `p99 ${ms(p99)}`] : [name];
  });
}

function drawRuns(states) {
  const all = Object.entries(states);
  $("runs-section").hidden = all.length < 2;
  $("runs").replaceChildren(...all.map(([name, state]) => {
    const row = make("tr"), head = make("th", name);
    head.scope = "row";
    row.append(head, ...[rate(state.requested_tps), rate(state.completed_tps), result(state, "p50_s"), result(state, "p99_s")].map((text) => make("td", text)),
      make("td", state.saturated ? `${state.status}, saturated` : state.status, state.status === "ok" ? "good" : "bad"));
    return row;
  }));
}

// Logs are asked for only while somebody looks at one.
function fillProcesses() {
  const select = $("process"), chosen = select.value, all = run.header.processes;
  const options = [make("option", "none"), ...all.map(({name, host}) => { const option = make("option", `${name} on ${host}`); option.value = name; return option; })];
  options[0].value = "";
  select.replaceChildren(...options);
  select.value = all.some(({name}) => name === chosen) ? chosen : "";
}

async function readLog() {
  const name = $("process").value, log = $("log");
  if (!name || closed) { if (!name) { log.hidden = true; put($("log-state"), ""); } return; }
  try {
    const answer = await fetch(`logs/${encodeURIComponent(name)}`);
    if (name !== $("process").value) return;
    log.hidden = false;
    put($("log-state"), answer.status === 204 ? "waiting for the runner to copy the log" : answer.ok ? (ended() ? "" : "every 2 s, the last 32 KB") : "no log");
    const text = answer.ok && answer.status !== 204 ? await answer.text() : "";
    const clean = text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
    if (log.textContent !== clean) {
      log.textContent = clean;
      if ($("follow").checked) log.scrollTop = log.scrollHeight;
    }
  } catch { put($("log-state"), "connection lost"); }
}

let pending = false;
function draw() {
  pending = false;
  drawHeader();
  drawPhases();
  drawTiles();
  drawRegions();
  if (run.load) drawCharts(); else for (const plot of Object.values(plots)) plot.draw([], []);
}
function later() { if (!pending) { pending = true; requestAnimationFrame(draw); } }

for (const kind of ["latency", "network"]) {
  for (const button of document.querySelectorAll(`[data-${kind}]`)) {
    button.type = "button";
    button.addEventListener("click", () => {
      choice[kind] = button.dataset[kind];
      for (const other of document.querySelectorAll(`[data-${kind}]`)) other.setAttribute("aria-pressed", String(other === button));
      later();
    });
    button.setAttribute("aria-pressed", String(button.dataset[kind] === choice[kind]));
  }
}
$("process").addEventListener("change", readLog);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const plot of Object.values(plots)) plot.names = null; later(); });
new ResizeObserver(later).observe(document.querySelector("main"));
setInterval(() => { if (!ended() || steps.length) { drawPhases(); } }, 1000);
setInterval(() => { if (!document.hidden && !(ended() && $("log").textContent)) readLog(); }, 2000);

const stream = new EventSource("stream");
stream.onopen = () => { connected = true; later(); };
stream.onerror = () => { connected = false; if (closed) stream.close(); later(); };
stream.onmessage = (message) => {
  const {kind, value} = JSON.parse(message.data);
  messages[kind]?.(value);
  if (kind === "closed") stream.close();
  later();
};
later();
