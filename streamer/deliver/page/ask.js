/** From what stands in the form to the parameters of `/v2/articles`. Pure but for the clock it is given. */

export const KINDS = ["create", "edit", "move", "delete", "restore", "visibility", "refresh"];
/** What the table needs of an article beyond what always comes. */
export const LEAN_FIELDS = "url, version.*, previous_version.*, in_language.*";
/** "At the earliest that is kept": before anything that a log can hold. */
const EVER = "2001-01-15T00:00:00Z";

/**
 * @typedef {string | number | boolean} Scalar
 * @typedef {{field: string, value: Scalar | Scalar[]}} Filter
 * @typedef {object} Wishes
 * @property {string} wiki
 * @property {string} language
 * @property {string} namespace
 * @property {string[]} kinds
 * @property {string} bots "", "true" or "false"
 * @property {string} minor "", "true" or "false"
 * @property {{field: string, value: string}[]} rules
 * @property {string} fields
 * @property {string} since "", minutes, or "all"
 */

/** @param {string} text @returns {string[]} */
function listed(text) {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
}

/**
 * @param {string} text As typed. A number is one only where writing it again gives the same text, so that
 *   "1e3", "007" and ids beyond 2^53 are not changed on the way.
 * @returns {Scalar}
 */
export function scalar(text) {
  if (text === "true" || text === "false") return text === "true";
  if (/^-?\d+(\.\d+)?$/.test(text) && String(Number(text)) === text) return Number(text);
  if (/^".*"$/.test(text)) {
    try {
      return String(JSON.parse(text));
    } catch {
      return text; // it only looked quoted
    }
  }
  return text;
}

/** @param {string} field @param {Scalar[]} values @returns {Filter[]} None where there are no values. */
function anyOf(field, values) {
  return values.length ? [{ field, value: values.length === 1 ? values[0] : values }] : [];
}

/** @param {Wishes} wishes @returns {Filter[]} */
export function filtersOf(wishes) {
  const flags = /** @type {[string, string][]} */ ([
    ["version.editor.is_bot", wishes.bots],
    ["version.is_minor_edit", wishes.minor],
  ]);
  return [
    ...anyOf("is_part_of.identifier", listed(wishes.wiki)),
    ...anyOf("in_language.identifier", listed(wishes.language)),
    ...anyOf("namespace.identifier", listed(wishes.namespace).map(scalar)),
    ...anyOf("event.kind", wishes.kinds),
    ...flags.flatMap(([field, wish]) => (wish ? [{ field, value: wish === "true" }] : [])),
    ...wishes.rules
      .filter((rule) => rule.field.trim())
      .map((rule) => ({ field: rule.field.trim(), value: scalar(rule.value.trim()) })),
  ];
}

/**
 * @param {Wishes} wishes
 * @param {number} nowMs
 * @returns {URLSearchParams} Only what restricts: with no wishes it is empty.
 */
export function parametersOf(wishes, nowMs) {
  const parameters = new URLSearchParams();
  if (wishes.since === "all") parameters.set("since", EVER);
  else if (wishes.since) parameters.set("since", timeText(nowMs - Number(wishes.since) * 60_000));
  const fields = listed(wishes.fields);
  if (fields.length) parameters.set("fields", fields.join(","));
  const filters = filtersOf(wishes);
  if (filters.length) parameters.set("filters", JSON.stringify(filters));
  return parameters;
}

/** @param {number} ms @returns {string} RFC 3339, whole seconds. */
export function timeText(ms) {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
