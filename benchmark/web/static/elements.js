"use strict";
// What the pages have in common: elements, texts and colours.
const SERIES = ["blue", "orange", "green", "purple", "sky", "brown"];
const DASHES = [[], [5, 2], [1.5, 1.5], [5, 1.5, 1.2, 1.5], [8, 2], [3, 1, 1, 1]];
const $ = (id) => document.getElementById(id);
const known = (value) => value !== undefined && value !== null;
function make(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
// Change a text only if it differs, so that assistive technology is not told of what stays.
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
const rate = (value) => !known(value) ? "–" : value >= 1000 ? value.toFixed(0) : value >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(3)));
const digits = (value) => Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
const ms = (seconds) => !known(seconds) ? "–" : seconds >= 10 ? `${seconds.toFixed(1)} s` : `${Number((seconds * 1000).toPrecision(3))} ms`;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
