/** Numbers and problems as a reader says them. */

const whole = new Intl.NumberFormat("en");

/** @param {number} value */
export function count(value) {
  return whole.format(value);
}

/** @param {number} value @returns {string} Signed; a true minus, as wide as the plus. */
export function signed(value) {
  if (value === 0) return "0";
  return `${value > 0 ? "+" : "\u2212"}${whole.format(Math.abs(value))}`;
}

/** @param {number} seconds @returns {string} Two figures at the most: "0.4 s", "12 s", "3 min", "5 h", "2 d". */
export function age(seconds) {
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 100 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${whole.format(Math.round(s / 86400))} d`;
}

/** @param {number} perSecond */
export function rate(perSecond) {
  return perSecond < 9.95 ? perSecond.toFixed(1) : whole.format(Math.round(perSecond));
}

/**
 * @typedef {object} Problem RFC 9457, as far as it is looked at.
 * @property {number} status
 * @property {string} detail
 * @property {string} [parameter]
 * @property {string} [earliest] Of a 410: an id.
 */

/** What each status means for who sits here; the server's own detail follows. */
const MEANINGS = new Map([
  [400, "The server does not understand the request"],
  [401, "The server does not take this key"],
  [403, "This key does not cover the request"],
  [410, "What followed the last position is no longer kept"],
  [422, "A filter or a parameter makes no sense"],
  [429, "Too much was asked for"],
  [503, "The server cannot serve this now"],
]);

/** @param {Problem} problem @returns {string} One or two sentences. */
export function inWords(problem) {
  const meaning = MEANINGS.get(problem.status) ?? `The server answered ${problem.status}`;
  const where = problem.parameter && !problem.detail.includes(problem.parameter) ? ` (${problem.parameter})` : "";
  return problem.detail ? `${meaning}${where}: ${problem.detail.replace(/\.$/, "")}.` : `${meaning}${where}.`;
}
