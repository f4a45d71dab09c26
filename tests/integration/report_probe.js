// Looks at reports in frames: each function returns what a test compares.
"use strict";

// Every value that the pointer shows at the points of every chart, as [chart, title, rows of name and value].
const valuesOf = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow, found = [];
  const models = JSON.parse(page.getElementById("chart-models").textContent);
  const place = (axis, value, from, to) => {
    const scale = (each) => (axis.log ? Math.log10(each) : each);
    return from + ((scale(value) - scale(axis.low)) / (scale(axis.high) - scale(axis.low))) * (to - from);
  };
  for (const [name, chart] of Object.entries(models)) {
    const svg = page.querySelector(`#${name} svg`), matrix = svg.getScreenCTM();
    for (const { box: [left, top, right, bottom], x, y, series } of chart.panels)
      for (const each of series)
        each.x.forEach((value, at) => {
          if (each.y[at] === null) return;
          const point = new view.DOMPoint(place(x, value, left, right), place(y, each.y[at], bottom, top));
          const { x: clientX, y: clientY } = point.matrixTransform(matrix);
          const more = { bubbles: true, pointerType: "mouse", clientX, clientY };
          svg.dispatchEvent(new view.PointerEvent("pointermove", more));
          const tip = page.querySelector(".tip");
          const rows = [...tip.querySelectorAll("div")].map((row) => [...row.children].map((cell) => cell.textContent));
          found.push([name, tip.hidden ? "" : tip.querySelector("b").textContent, rows, each.label]);
        });
  }
  return found;
};

const press = (frame, target, key) => target.dispatchEvent(
  new frame.contentWindow.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const until = async (condition) => {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 500) throw new Error(`never true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

// What a chart does when it is used with the keyboard and the pointer.
const used = async (frame, name, label) => {
  const page = frame.contentDocument, view = frame.contentWindow;
  view.SVGElement.prototype.setPointerCapture = () => {}; // there is no pointer
  const region = page.querySelector(`#${name} .scroll`), svg = region.querySelector("svg");
  const drawn = () => [...svg.querySelectorAll("path[clip-path], text")].filter((each) => !each.closest(".tick"))
    .map((each) => [each.getAttribute("d")?.replace(/[\d.]+/g, Number), each.getAttribute("x"), each.style.display].join());
  const ticks = () => [...svg.querySelectorAll(".tick text")].map((each) => each.textContent);
  const said = () => page.querySelector("output").textContent;
  const before = drawn(), found = {};
  region.focus();
  found.focused = page.activeElement === region;
  press(frame, region, "ArrowRight");
  found.first = said();
  press(frame, region, "ArrowRight");
  found.second = said();
  press(frame, region, "+");
  press(frame, region, "+");
  found.zoomed = ticks();
  found.others = [...page.querySelectorAll("figure")].filter((each) => each.querySelector(".tick")).map((each) => each.id);
  found.moved = drawn().join() !== before.join();
  found.reset = !page.querySelector(`#${name} .bar button`).hidden;
  press(frame, region, "0");
  found.restored = drawn().join() === before.join() && !ticks().length;
  const key = [...svg.querySelectorAll(".key")].find((each) => each.getAttribute("aria-label") === `Show ${label}`);
  key.focus();
  found.keyFocused = page.activeElement === key;
  press(frame, key, "Enter");
  found.pressed = key.getAttribute("aria-pressed");
  region.focus();
  press(frame, region, "ArrowRight");
  found.without = said();
  press(frame, key, " ");
  const { left, top, width, height } = svg.getBoundingClientRect();
  const drag = (type, x, y) => svg.dispatchEvent(new view.PointerEvent(type, {
    bubbles: true, pointerType: "mouse", button: 0, clientX: left + x * width, clientY: top + y * height }));
  drag("pointerdown", 0.5, 0.4);
  drag("pointermove", 0.6, 0.4);
  drag("pointerup", 0.6, 0.4);
  found.dragged = ticks();
  page.querySelector(`#${name} .bar button`).click();
  found.restoredAgain = drawn().join() === before.join();
  if (page.getElementById("log-lines")) {
    drag("pointerdown", 0.5, 0.4);
    drag("pointerup", 0.5, 0.4);
    await until(() => page.querySelector("#log-around ol"));
    found.log = [...page.querySelectorAll("#log-around li")].map((row) => [...row.children].map((cell) => cell.textContent));
    found.links = [...page.querySelectorAll("#log-around li a")].map((each) => each.getAttribute("href"));
  }
  return found;
};

// Text with less contrast to its background than WCAG 2.2 AA demands, as [text, ratio].
const faint = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((each) => each / 255);
  };
  const over = (top, bottom) => [0, 1, 2].map((at) => top[at] * top[3] + bottom[at] * (1 - top[3]));
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const background = (element) => {
    if (!element) return colour(view.getComputedStyle(page.documentElement).backgroundColor).slice(0, 3);
    const own = colour(view.getComputedStyle(element).backgroundColor);
    return own[3] === 0 ? background(element.parentElement) : over(own, background(element.parentElement));
  };
  const found = [], walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style") || !element.checkVisibility?.({ visibilityProperty: true })) continue;
    const style = view.getComputedStyle(element), below = background(element);
    const shown = colour(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [light, dark] = [luminance(over(shown, below)), luminance(below)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    count += 1;
    if (ratio < 4.5) found.push([node.textContent.trim().slice(0, 60), Number(ratio.toFixed(2))]);
  }
  return { count, found };
};

// What lies outside the window, and what a keyboard cannot reach or a screen reader cannot name.
const reach = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const wide = page.documentElement.scrollWidth - view.innerWidth;
  const scrolled = [...page.querySelectorAll("*")].filter((each) =>
    ["auto", "scroll"].includes(view.getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth + 1);
  const named = (each) => each.getAttribute("aria-label") || each.textContent.trim() || each.closest("[aria-label]");
  return {
    width: view.innerWidth,
    wide,
    stuck: scrolled.filter((each) => each.tabIndex < 0 && !each.querySelector("a, button")).map((each) => each.outerHTML.slice(0, 120)),
    unnamed: [...page.querySelectorAll("a, button, [tabindex], [role=button]")].filter((each) => !named(each)).map((each) => each.outerHTML.slice(0, 120)),
  };
};
