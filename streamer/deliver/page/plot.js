/**
 * Two small plots of the last three minutes, as SVG that is made by calls: colours come from the style
 * sheet, so that they follow light and dark.
 */

import { SLOTS } from "./tally.js";
import { count } from "./words.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const LEFT = 44;
const RIGHT = 2;
const TOP = 10;
const BOTTOM = 18;
const AGE_MARKS = /** @type {[number, string][]} */ ([
  [0.01, "0.01 s"], [0.1, "0.1 s"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"],
  [3600, "1 h"], [36_000, "10 h"], [259_200, "3 d"], [2_592_000, "30 d"], [31_536_000, "1 y"],
]);

/** @typedef {ReturnType<import("./tally.js").Tally["series"]>} Series */

/** @param {SVGSVGElement} svg @param {Series} series @param {number} slotS */
export function plotRate(svg, series, slotS) {
  const frame = framed(svg);
  const rates = series.map((slot) => slot.count / slotS);
  const top = ceiling(Math.max(...rates));
  const y = (/** @type {number} */ rate) => frame.bottom - (rate / top) * frame.height;
  const bars = rates
    .map((rate, i) => (rate ? bar(frame.x(i), y(rate), frame.step, frame.bottom) : ""))
    .join("");
  svg.replaceChildren(
    ...mark(frame, y(top), count(top)),
    ...mark(frame, y(top / 2), top >= 2 ? count(top / 2) : (top / 2).toFixed(1)),
    ...mark(frame, frame.bottom, "0"),
    ...timeMarks(frame),
    drawn("path", { class: "bars", d: bars }),
  );
}

/** @param {SVGSVGElement} svg @param {Series} series */
export function plotAge(svg, series) {
  const frame = framed(svg);
  const known = series.filter((slot) => slot.median !== null && slot.worst !== null);
  const low = Math.min(1, ...known.map((slot) => Number(slot.median)));
  const high = Math.max(10, ...known.map((slot) => Number(slot.worst)));
  const least = AGE_MARKS.filter(([at]) => at <= low).at(-1)?.[0] ?? low;
  const most = AGE_MARKS.find(([at]) => at >= high)?.[0] ?? high;
  const floor = Math.log10(least);
  const top = Math.log10(most);
  const y = (/** @type {number} */ ageS) =>
    frame.bottom - (Math.max(0, Math.log10(ageS) - floor) / (top - floor)) * frame.height;
  let spans = "";
  let medians = "";
  series.forEach((slot, i) => {
    if (slot.median === null || slot.worst === null) return;
    spans += bar(frame.x(i), y(slot.worst), frame.step, y(slot.median));
    medians += `M${fixed(frame.x(i))} ${fixed(y(slot.median))}h${fixed(frame.step)}`;
  });
  const marks = AGE_MARKS.filter(([at]) => at >= least && at <= most);
  svg.replaceChildren(
    ...marks.flatMap(([at, words]) => mark(frame, y(at), words)),
    ...timeMarks(frame),
    drawn("path", { class: "spans", d: spans }),
    drawn("path", { class: "medians", d: medians }),
  );
}

/** The least of 1, 2, 5, 10, 20, … that is not below. @param {number} value */
function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * (value <= power ? 1 : value <= 2 * power ? 2 : value <= 5 * power ? 5 : 10);
}

/** @param {SVGSVGElement} svg Drawn at its own size, so that nothing in it is stretched. */
function framed(svg) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
  const step = Math.max(0.1, (width - LEFT - RIGHT) / SLOTS);
  return {
    left: LEFT,
    right: width - RIGHT,
    bottom: height - BOTTOM,
    height: height - TOP - BOTTOM,
    step,
    x: (/** @type {number} */ i) => LEFT + i * step,
  };
}

/** @typedef {ReturnType<typeof framed>} Frame */

/** @param {number} x @param {number} y @param {number} step @param {number} bottom */
function bar(x, y, step, bottom) {
  const width = Math.max(0.5, step - Math.min(1, step / 4));
  const height = Math.max(1, bottom - y);
  return `M${fixed(x)} ${fixed(bottom)}v${fixed(-height)}h${fixed(width)}v${fixed(height)}z`;
}

/** @param {Frame} frame @param {number} y @param {string} words */
function mark(frame, y, words) {
  const label = drawn("text", { x: fixed(frame.left - 6), y: fixed(y + 3.5), "text-anchor": "end" });
  label.textContent = words;
  return [drawn("path", { class: "grid", d: `M${frame.left} ${fixed(y)}H${fixed(frame.right)}` }), label];
}

/** @param {Frame} frame */
function timeMarks(frame) {
  return [["−3 min", 0, "start"], ["−2", 1 / 3, "middle"], ["−1", 2 / 3, "middle"], ["now", 1, "end"]].map(
    ([words, at, anchor]) => {
      const x = frame.left + Number(at) * (frame.right - frame.left);
      const label = drawn("text", { x: fixed(x), y: fixed(frame.bottom + 14), "text-anchor": String(anchor) });
      label.textContent = String(words);
      return label;
    },
  );
}

/** @param {string} name @param {Record<string, string>} attributes */
function drawn(name, attributes) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** @param {number} value */
function fixed(value) {
  return value.toFixed(1);
}
