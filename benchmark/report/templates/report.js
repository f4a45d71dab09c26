// Charts of a report under the pointer and the keyboard: values, zoom, series on and off, and the log around a moment.
// Everything is drawn already: this only moves, hides and adds elements of the SVG, by the models in #chart-models.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MINUS = "\u2212", NBSP = "\u00a0";
  const PAIR = /(-?[\d.]+) (-?[\d.]+)/g;
  const models = JSON.parse(document.getElementById("chart-models").textContent);
  const logs = document.getElementById("log-lines");

  const create = (parent, name, attributes = {}, text = "") => {
    const made = parent.namespaceURI === SVG ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return parent.appendChild(made);
  };
  const written = (value) => String(Number(value.toPrecision(4))).replace("-", MINUS);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const parts = (label) => {
    const found = /^(.*?)\s*\(([^,)]*)[^)]*\)$/.exec(label);
    return found ? { name: found[1], unit: found[2] } : { name: label, unit: "" };
  };

  // One axis: `base` are the limits as drawn, `view` those in force, both in the scale that is linear in space.
  class Axis {
    constructor(model, from, to) {
      Object.assign(this, model, parts(model.label), { from, to });
      this.base = [this.scale(model.low), this.scale(model.high)];
      this.view = [...this.base];
    }
    scale(value) { return this.log ? Math.log10(value) : value; }
    value(scaled) { return this.log ? 10 ** scaled : scaled; }
    place(value, limits = this.view) {
      return this.from + ((this.scale(value) - limits[0]) / (limits[1] - limits[0])) * (this.to - this.from);
    }
    at(position, limits = this.view) {
      return this.value(limits[0] + ((position - this.from) / (this.to - this.from)) * (limits[1] - limits[0]));
    }
    move(drawn) { return this.zoomed ? this.place(this.at(drawn, this.base)) : drawn; }
    get zoomed() { return this.view[0] !== this.base[0] || this.view[1] !== this.base[1]; }
    write(value) {
      if (this.format === "share") return written(value * 100) + NBSP + "%";
      if (this.format === "percentile") return "p" + Number((100 * (1 - 10 ** -value)).toPrecision(6));
      return written(value) + (this.unit && NBSP + this.unit);
    }
    ticks(most) {
      const [low, high] = this.view;
      if (this.log && high - low > 0.8) {
        const found = [];
        for (let power = Math.floor(low); power <= high; power++)
          for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
        return found.filter((value) => this.scale(value) >= low && this.scale(value) <= high);
      }
      const [first, last] = [this.value(low), this.value(high)].sort((a, b) => a - b);
      const rough = (last - first) / most, power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough);
      const found = [];
      for (let at = Math.ceil(first / step); at * step <= last; at++) found.push(Number((at * step).toPrecision(12)));
      return found;
    }
    tick(value) {
      if (this.format === "share") return written(value * 100) + NBSP + "%";
      if (this.format === "percentile") return String(Number((100 * (1 - 10 ** -value)).toPrecision(5)));
      return String(Number(value.toPrecision(8))).replace("-", MINUS);
    }
  }

  // What an element of a drawing looks like after every coordinate went through `x` and `y`.
  const redraw = (element, original, x, y) => {
    if (original.d !== null) {
      element.setAttribute("d", original.d.replace(PAIR, (_, a, b) => `${+x(+a).toFixed(3)} ${+y(+b).toFixed(3)}`));
    }
    if (original.x !== null) {
      element.setAttribute("x", x(+original.x));
      element.setAttribute("y", y(+original.y));
      element.removeAttribute("transform");
    }
  };
  const original = (element) => ({ d: element.getAttribute("d"), x: element.getAttribute("x"), y: element.getAttribute("y") });

  class Panel {
    constructor(chart, model) {
      Object.assign(this, { chart, series: model.series, box: model.box });
      const [left, top, right, bottom] = model.box;
      this.x = new Axis(model.x, left, right);
      this.y = new Axis(model.y, bottom, top);
      this.group = document.getElementById(`${chart.name}-${model.axes}`);
      const own = (element) => !element.closest('[id*="matplotlib.axis"], [id*="legend_"]');
      this.content = [...this.group.querySelectorAll("path[clip-path], [clip-path] > use")].filter(own);
      this.texts = [...this.group.querySelectorAll("text")].filter(own);
      this.drawn = new Map([...this.content, ...this.texts].map((each) => [each, original(each)]));
      this.axes = [...this.group.children].filter((each) => each.id.includes("matplotlib.axis"));
      this.line = create(chart.svg, "path", { class: "cursor", d: "" });
      this.dots = create(chart.svg, "g", { class: "dots" });
    }
    contains(x, y) {
      const [left, top, right, bottom] = this.box, edge = 0.5;
      return x >= left - edge && x <= right + edge && y >= top - edge && y <= bottom + edge;
    }
    refresh() {
      const x = (at) => this.x.move(at), y = (at) => this.y.move(at), kept = (at) => at;
      for (const element of this.content) redraw(element, this.drawn.get(element), x, y);
      for (const element of this.texts) {
        const from = this.drawn.get(element), inside = this.contains(+from.x, +from.y);
        redraw(element, from, x, inside ? y : kept);
        const [left, top, right, bottom] = this.box, [atX, atY] = [x(+from.x), y(+from.y)];
        element.style.display = atX < left - 1 || atX > right || (inside && (atY < top || atY > bottom)) ? "none" : "";
      }
      this.refreshTicks(this.axes[0], this.x, 7, "x");
      this.refreshTicks(this.axes[1], this.y, 4, "y");
    }
    refreshTicks(group, axis, most, dimension) {
      if (!group) return;
      group.querySelectorAll(".tick").forEach((each) => each.remove());
      const ticks = [...group.children].filter((each) => each.id.includes("tick_"));
      ticks.forEach((each) => (each.style.display = axis.zoomed ? "none" : ""));
      const pattern = ticks.find((each) => each.querySelector("use") && each.querySelector("text")) ||
        ticks.find((each) => each.querySelector("use"));
      if (!axis.zoomed || !pattern) return;
      const from = +pattern.querySelector("use").getAttribute(dimension);
      for (const value of axis.ticks(most)) {
        const tick = pattern.cloneNode(true), to = axis.place(value);
        tick.querySelectorAll("defs").forEach((each) => each.remove());
        tick.querySelectorAll("[id]").forEach((each) => each.removeAttribute("id"));
        tick.removeAttribute("id");
        tick.setAttribute("class", "tick");
        tick.style.display = "";
        const shift = (at) => at + to - from, kept = (at) => at;
        for (const each of tick.querySelectorAll("path, use, text"))
          redraw(each, original(each), dimension === "x" ? shift : kept, dimension === "y" ? shift : kept);
        const text = tick.querySelector("text");
        if (text) text.textContent = axis.tick(value);
        group.appendChild(tick);
      }
    }
    shown() { return this.series.filter((each) => !this.chart.hidden.has(each.label)); }
    nearest(x) {
      // The index in each series that is nearest on the x axis.
      return this.shown().map((series) => {
        let best = -1;
        series.x.forEach((each, at) => {
          if (best < 0 || Math.abs(this.x.scale(each) - x) < Math.abs(this.x.scale(series.x[best]) - x)) best = at;
        });
        return { series, at: best };
      });
    }
    mark(points, vertical) {
      const [, top, , bottom] = this.box;
      this.line.setAttribute("d", vertical === null ? "" : `M ${vertical} ${top} L ${vertical} ${bottom}`);
      this.dots.replaceChildren();
      for (const { series, at } of points) {
        const y = series.y[at];
        if (y === null) continue;
        const [cx, cy] = [this.x.place(series.x[at]), this.y.place(y)];
        if (this.contains(cx, cy)) create(this.dots, "circle", { cx, cy, r: 2.6 });
      }
    }
  }

  class Chart {
    constructor(name, model) {
      Object.assign(this, { name, model, hidden: new Set(), cursor: null });
      this.figure = document.getElementById(name);
      this.box = this.figure.querySelector(".scroll");
      this.svg = this.box.querySelector("svg");
      this.svg.setAttribute("role", "group");
      this.panels = model.panels.map((each) => new Panel(this, each));
      this.band = create(this.svg, "rect", { class: "band", width: 0, height: 0 });
      if (model.labels.length > 1) model.labels.forEach((label, index) => this.addKey(label, index));
      const bar = create(this.figure, "p", { class: "bar" });
      this.hint = create(bar, "span", {}, this.help());
      this.reset = create(bar, "button", { type: "button", hidden: "" }, "Reset zoom");
      this.reset.addEventListener("click", () => this.zoom(null));
      this.box.setAttribute("aria-describedby", (this.hint.id = `${name}-help`));
      this.box.addEventListener("keydown", (event) => this.key(event));
      this.svg.addEventListener("pointerdown", (event) => this.press(event));
      this.svg.addEventListener("pointermove", (event) => this.point(event));
      this.svg.addEventListener("pointerup", (event) => this.release(event));
      this.svg.addEventListener("pointercancel", () => this.drop());
      this.svg.addEventListener("pointerleave", () => { if (!this.start) leave(); });
      this.svg.addEventListener("dblclick", () => this.zoom(null));
    }
    help() {
      const zoom = "drag to zoom" + (this.model.labels.length > 1 ? ", click a name to hide it" : "");
      const log = this.timed && logs ? ", click for the log at that time" : "";
      return `Point at the chart for values; ${zoom}${log}. Keys: \u2190 \u2192 + ${MINUS} 0` + (log ? " Enter" : "");
    }
    get timed() { return this.model.origin !== null; }
    addKey(label, index) {
      const named = (kind) => [...this.svg.querySelectorAll(`[id^="${this.name}-${kind}-${index}-"]`)];
      const shown = named("key"), drawn = named("series");
      if (!shown.length || !drawn.length) return;
      const boxes = shown.map((each) => each.getBBox());
      const left = Math.min(...boxes.map((each) => each.x)), top = Math.min(...boxes.map((each) => each.y));
      const width = Math.max(...boxes.map((each) => each.x + each.width)) - left;
      const height = Math.max(...boxes.map((each) => each.y + each.height)) - top;
      const key = create(this.svg, "rect", {
        class: "key", x: left - 2, y: top - 2, width: width + 4, height: height + 4, rx: 2,
        role: "button", tabindex: 0, "aria-pressed": "true", "aria-label": `Show ${label}`,
      });
      const toggle = () => {
        const hide = !this.hidden.has(label);
        if (hide) this.hidden.add(label); else this.hidden.delete(label);
        key.setAttribute("aria-pressed", String(!hide));
        for (const each of drawn) each.style.display = hide ? "none" : "";
        for (const each of shown) each.style.opacity = hide ? 0.4 : "";
        leave();
      };
      key.addEventListener("click", toggle);
      key.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        toggle();
      });
    }
    where(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
      return [at.x, at.y];
    }
    panelAt(x, y) { return this.panels.find((each) => each.contains(x, y)); }
    press(event) {
      const [x, y] = this.where(event), panel = this.panelAt(x, y);
      if (!panel || event.button || event.pointerType === "touch") return;
      this.svg.style.userSelect = "none";
      this.start = { x, y, panel };
      this.svg.setPointerCapture?.(event.pointerId);
    }
    point(event) {
      const [x, y] = this.where(event);
      if (!this.start) {
        const panel = this.panelAt(x, y);
        if (panel) this.show(panel, x, y, event); else leave();
        return;
      }
      const [left, top, right, bottom] = this.selected(x, y);
      for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top }))
        this.band.setAttribute(name, value);
    }
    selected(x, y) {
      const { start } = this, [left, top, right, bottom] = start.panel.box;
      const both = Math.abs(y - start.y) > 12;
      const xs = [clamp(x, left, right), start.x].sort((a, b) => a - b);
      const ys = both ? [clamp(y, top, bottom), start.y].sort((a, b) => a - b) : [top, bottom];
      return [xs[0], ys[0], xs[1], ys[1]];
    }
    release(event) {
      if (!this.start) {
        const [x, y] = this.where(event), panel = this.panelAt(x, y);
        if (panel && event.pointerType === "touch") this.show(panel, x, y, event);
        return;
      }
      const { panel } = this.start, [x, y] = this.where(event);
      const [left, top, right, bottom] = this.selected(x, y);
      this.drop();
      if (right - left > 4) {
        const cut = (axis, from, to) => [from, to].map((at) => axis.scale(axis.at(at)));
        this.zoom(cut(panel.x, left, right), panel, cut(panel.y, bottom, top));
      } else if (this.timed && logs) showLog(this, panel.x.at(x));
    }
    drop() {
      this.start = null;
      this.svg.style.userSelect = "";
      for (const name of ["width", "height"]) this.band.setAttribute(name, 0);
    }
    // Charts over time share their x axis.
    linked() { return charts.filter((each) => each === this || (this.timed && each.timed)); }
    zoom(x, panel = null, y = null) {
      for (const chart of this.linked()) {
        for (const each of chart.panels) {
          const [low, high] = each.x.base;
          each.x.view = x && x[1] - x[0] > (high - low) * 1e-4 ? [Math.max(x[0], low), Math.min(x[1], high)] : [low, high];
          if (!x) each.y.view = [...each.y.base];
          else if (each === panel && y) each.y.view = y;
          each.refresh();
        }
        chart.reset.hidden = !chart.panels.some((each) => each.x.zoomed || each.y.zoomed);
      }
      leave();
    }
    show(panel, x, y, event) {
      if (this.model.hover === "x") this.showAll(panel, panel.x.scale(panel.x.at(x)), event);
      else this.showNearest(x, y, panel, event);
    }
    showAll(panel, scaled, event) {
      const points = panel.nearest(scaled), first = points.find((each) => each.at >= 0);
      if (!first) return leave();
      const at = first.series.x[first.at];
      this.cursor = { panel, at };
      for (const chart of this.linked())
        for (const each of chart.panels) each.mark(each.nearest(each.x.scale(at)), each.x.place(at));
      const rows = points.map((each) => {
        const y = each.series.y[each.at];
        return [each.series.label, y === null ? "unknown" : panel.y.write(y)];
      });
      tell(this, [panel.x.write(at) + (this.timed ? ` \u00b7 ${clock(this.model.origin + at)}` : ""), rows], event, panel, at);
    }
    showNearest(x, y, panel, event) {
      let best = null, least = Infinity;
      for (const series of panel.shown())
        series.x.forEach((each, at) => {
          if (series.y[at] === null) return;
          const distance = Math.hypot(panel.x.place(each) - x, panel.y.place(series.y[at]) - y);
          if (distance < least) [best, least] = [{ series, at }, distance];
        });
      if (!best) return leave();
      this.showPoint(panel, best, event);
    }
    showPoint(panel, point, event) {
      this.cursor = { panel, point, at: point.series.x[point.at] };
      for (const each of this.panels) each.mark(each === panel ? [point] : [], null);
      const rows = [["x", point.series.x], ["y", point.series.y]].map(([axis, values]) => [
        panel[axis].name, panel[axis].write(values[point.at]),
      ]);
      tell(this, [point.series.label, rows], event, panel, this.cursor.at);
    }
    step(by) {
      const panel = this.cursor?.panel ?? this.panels[0], axis = panel.x;
      const every = panel.shown().flatMap((series) => series.x.map((x, at) => ({ series, at, x })))
        .filter((each) => axis.scale(each.x) >= axis.view[0] && axis.scale(each.x) <= axis.view[1] && each.series.y[each.at] !== null)
        .sort((a, b) => a.x - b.x);
      if (!every.length) return;
      if (this.model.hover === "point") {
        const now = every.findIndex((each) => each.series === this.cursor?.point?.series && each.at === this.cursor.point.at);
        return this.showPoint(panel, every[clamp(now < 0 ? 0 : now + by, 0, every.length - 1)], null);
      }
      const xs = [...new Set(every.map((each) => each.x))];
      const now = this.cursor === null ? -1 : xs.findIndex((each) => each >= this.cursor.at);
      this.showAll(panel, axis.scale(xs[clamp(now < 0 ? (this.cursor ? xs.length - 1 : 0) : now + by, 0, xs.length - 1)]), null);
    }
    key(event) {
      if (event.target !== this.box || event.ctrlKey || event.metaKey || event.altKey) return;
      const scale = (factor) => {
        const panel = this.cursor?.panel ?? this.panels[0], [low, high] = panel.x.view;
        const middle = this.cursor ? panel.x.scale(this.cursor.at) : (low + high) / 2, half = ((high - low) * factor) / 2;
        const from = clamp(middle - half, panel.x.base[0], panel.x.base[1] - 2 * half);
        this.zoom(factor > 1 && 2 * half >= panel.x.base[1] - panel.x.base[0] ? null : [from, from + 2 * half]);
      };
      const actions = {
        ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
        "+": () => scale(0.5), "=": () => scale(0.5), "-": () => scale(2),
        0: () => this.zoom(null), Escape: () => leave(),
        Enter: () => { if (this.timed && logs && this.cursor) showLog(this, this.cursor.at); },
      };
      if (!actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
    }
  }

  const clock = (unix) => new Date(unix * 1000).toISOString().slice(11, 21) + " UTC";
  const tip = create(document.body, "div", { class: "tip", hidden: "" });
  const live = create(document.body, "output", { class: "unseen" });

  // Show a title and rows of name and value beside the pointer, or beside a point when a key was pressed.
  const tell = (chart, [title, rows], event, panel, at) => {
    tip.replaceChildren();
    create(tip, "b", {}, title);
    for (const [name, value] of rows) {
      const row = create(tip, "div");
      create(row, "span", {}, name);
      create(row, "span", {}, value);
    }
    tip.hidden = false;
    if (!event) live.textContent = [title, ...rows.map((row) => row.join(" "))].join(", ");
    const matrix = chart.svg.getScreenCTM();
    const point = event ? { x: event.clientX, y: event.clientY }
      : new DOMPoint(panel.x.place(at), panel.box[1] + 10).matrixTransform(matrix);
    if (!event) chart.box.scrollLeft += clamp(point.x, chart.box.getBoundingClientRect().left + 60,
      chart.box.getBoundingClientRect().right - 60) === point.x ? 0 : point.x - chart.box.getBoundingClientRect().left - 60;
    const { width, height } = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    tip.style.left = `${clamp(point.x + 14 + width > room ? point.x - 14 - width : point.x + 14, 4, room - width - 4)}px`;
    tip.style.top = `${Math.max(4, point.y - height / 2)}px`;
  };
  const leave = () => {
    tip.hidden = true;
    for (const chart of charts) {
      chart.cursor = null;
      for (const panel of chart.panels) panel.mark([], null);
    }
  };

  // The log lines of all processes around a moment, below the chart.
  const AROUND = 12;
  let lines = null;
  const readLines = async () => {
    const bytes = Uint8Array.from(atob(logs.textContent), (each) => each.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const document = JSON.parse(await new Response(stream).text());
    return { ...document, lines: document.lines.map(([at, source, text]) => ({ at, text, ...document.sources[source] })) };
  };
  const showLog = async (chart, at) => {
    lines ??= await readLines();
    document.getElementById("log-around")?.remove();
    const panel = create(chart.figure, "section", { id: "log-around", tabindex: -1, "aria-label": "Log lines" });
    const head = create(panel, "p");
    create(head, "b", {}, `Log lines around ${written(at)}${NBSP}s`);
    create(head, "span", {}, ` (${clock(chart.model.origin + at)})`);
    const close = create(head, "button", { type: "button" }, "Close");
    close.addEventListener("click", () => { panel.remove(); chart.box.focus({ preventScroll: true }); });
    const next = lines.lines.findIndex((each) => each.at >= at), middle = next < 0 ? lines.lines.length : next;
    const list = create(panel, "ol");
    for (const each of lines.lines.slice(Math.max(0, middle - AROUND), middle + AROUND)) {
      const row = create(list, "li");
      create(row, "span", {}, `${each.at.toFixed(2).replace("-", MINUS)}${NBSP}s`);
      if (each.path) create(row, "a", { href: each.path }, each.name); else create(row, "span", {}, each.name);
      create(row, "code", {}, each.text);
    }
    if (!list.children.length) create(panel, "p", {}, "The logs have no line with a time.");
    create(panel, "p", { class: "note" }, lines.note);
    panel.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  };

  const charts = Object.entries(models).map(([name, model]) => new Chart(name, model));
  window.addEventListener("scroll", leave, { passive: true });
})();
