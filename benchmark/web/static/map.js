"use strict";
// The map of the regions: great circles with the round trips of now, names with the p99 latency of their clients.
const worldMap = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const LABELLED_ARCS = 6, MARGIN = 14, NORTH = -78, SOUTH = 56;
  const radians = (degrees) => (degrees * Math.PI) / 180;

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Points on the shortest way from a to b, in degrees with south positive.
  function greatCircle(a, b, points = 48) {
    const [start, end] = [a, b].map(({longitude, latitude}) => {
      const [lon, lat] = [radians(longitude), radians(latitude)];
      return [Math.cos(lat) * Math.cos(lon), Math.cos(lat) * Math.sin(lon), Math.sin(lat)];
    });
    const dot = start.reduce((sum, each, i) => sum + each * end[i], 0);
    const omega = Math.acos(Math.min(1, Math.max(-1, dot)));
    const found = [];
    for (let i = 0; i < points; i++) {
      const t = i / (points - 1);
      const [p, q] = omega < 1e-9 ? [1 - t, t]
        : [Math.sin((1 - t) * omega) / Math.sin(omega), Math.sin(t * omega) / Math.sin(omega)];
      const [x, y, z] = start.map((each, axis) => p * each + q * end[axis]);
      found.push([Math.atan2(y, x) * 180 / Math.PI, -Math.asin(Math.min(1, Math.max(-1, z))) * 180 / Math.PI]);
    }
    return found;
  }

  // No line across the whole map where the way crosses the date line.
  function path(points) {
    return points.map(([x, y], i) => {
      const jump = i > 0 && Math.abs(x - points[i - 1][0]) > 180;
      return `${i === 0 || jump ? "M" : "L"}${x.toFixed(2)} ${y.toFixed(2)}`;
    }).join("");
  }

  function viewBox(regions) {
    const [x, y] = [regions.map((each) => each.longitude), regions.map((each) => -each.latitude)];
    let [left, right] = [Math.max(-180, Math.min(...x) - MARGIN), Math.min(180, Math.max(...x) + MARGIN)];
    let [top, bottom] = [Math.max(NORTH, Math.min(...y) - MARGIN), Math.min(SOUTH, Math.max(...y) + MARGIN)];
    const narrow = Math.max(0, 60 - (right - left)) / 2;
    [left, right] = [left - narrow, right + narrow];
    const flat = Math.max(0, (right - left) / 2.6 - (bottom - top)) / 2;
    return [left, top - flat, right - left, bottom - top + 2 * flat];
  }

  // Positions of texts beside their dots where they cover nothing else; sizes in units of the map.
  function place(labels, taken, size, box) {
    for (const label of labels) {
      const height = size * 1.15 * label.lines.length;
      const width = Math.max(...label.lines.map((line) => line.length)) * size * 0.58;
      const rows = [0, 1, -1, 2, -2].flatMap((row) => [[row, 1], [row, -1]]);
      for (const [row, side] of rows) {
        const left = side > 0 ? label.x + size * 0.7 : label.x - size * 0.7 - width;
        const top = label.y + row * height * 0.8 - height / 2;
        label.box = [left, top, left + width, top + height];
        const inside = left >= box[0] && left + width <= box[0] + box[2];
        const free = taken.every((other) => label.box[0] >= other[2] || other[0] >= label.box[2]
          || label.box[1] >= other[3] || other[1] >= label.box[3]);
        if (inside && free) break;
      }
      taken.push(label.box);
    }
  }

  function text(label, size, kind) {
    const made = element("text", {"font-size": size, "stroke-width": size * 0.25, class: kind});
    label.lines.forEach((line, i) => {
      made.append(element("tspan", {x: label.box[0], y: label.box[1] + size * (0.95 + 1.15 * i)}, line));
    });
    return made;
  }

  // Draw `regions` with `names` (lines of text), and `trips`: a, b, ms or null if lost.
  return function draw(figure, regions, trips, names) {
    const located = regions.filter((each) => each.longitude !== null);
    figure.hidden = located.length === 0 || located.length < regions.length;
    if (figure.hidden) return;
    const svg = figure.querySelector("svg"), box = viewBox(located);
    svg.setAttribute("viewBox", box.map((each) => each.toFixed(2)).join(" "));
    const shown = svg.getBoundingClientRect();
    const scale = Math.max(box[2] / Math.max(shown.width, 1), box[3] / Math.max(shown.height, 1));
    const size = 12.5 * scale, dot = 4.5 * scale;
    const arcs = svg.querySelector("#arcs"), places = svg.querySelector("#places");
    arcs.replaceChildren();
    places.replaceChildren();
    const by = new Map(located.map((each) => [each.name, each]));
    const taken = located.map(({longitude: x, latitude: y}) => [x - dot, -y - dot, x + dot, -y + dot]);
    const labels = located.map((each) => ({x: each.longitude, y: -each.latitude, lines: names(each.name)}));
    place(labels, taken, size, box);
    const times = [];
    for (const {a, b, ms} of trips.filter((trip) => by.has(trip.a) && by.has(trip.b))) {
      const way = greatCircle(by.get(a), by.get(b));
      arcs.append(element("path", {d: path(way), class: ms === null ? "arc lost" : "arc"}));
      // The label is on the part of the way that the map shows, as near to its middle as possible.
      const half = way.length >> 1, visible = ([x, y]) => x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3];
      const order = way.map((_, i) => i).sort((i, j) => Math.abs(i - half) - Math.abs(j - half));
      const middle = way[order.find((i) => visible(way[i])) ?? half];
      times.push({x: middle[0], y: middle[1], lines: [ms === null ? "no answer" : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`], lost: ms === null});
    }
    const few = times.length <= LABELLED_ARCS ? times : times.filter((each) => each.lost);
    place(few, taken, size * 0.9, box);
    for (const each of few) places.append(text(each, size * 0.9, each.lost ? "trip lost" : "trip"));
    for (const each of located) {
      places.append(element("circle", {cx: each.longitude, cy: -each.latitude, r: dot, "stroke-width": dot / 4}));
    }
    for (const label of labels) places.append(text(label, size, ""));
    svg.setAttribute("aria-label", `map: ${trips.map(({a, b, ms}) => `${a} to ${b} ${ms === null ? "no answer" : `${ms.toFixed(0)} ms`}`).join(", ") || "no round trips known"}`);
  };
})();
