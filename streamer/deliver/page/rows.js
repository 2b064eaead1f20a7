/**
 * The newest articles as rows of a table. What an article says is put into text nodes and nothing else:
 * there is no way from a title or a comment to an element.
 */

import { age, signed } from "./words.js";

export const MAX_ROWS = 100;
const LARGE_BYTES = 500;

/**
 * @typedef {Record<string, any>} Article As it came: any part may be absent, hidden or not asked for.
 * @typedef {{row: HTMLElement, shown: Text, editedMs: number}} Shown
 */

export class Rows {
  #body;
  /** @type {Shown[]} Newest first, as in the table. */
  #shown = [];
  /** @type {Article[]} Oldest first. */
  #waiting = [];
  /** How many wait, those too that will never be shown because newer ones came. */
  waiting = 0;
  paused = false;

  /** @param {HTMLElement} body */
  constructor(body) {
    this.#body = body;
  }

  /** @param {Article} article */
  add(article) {
    this.waiting += 1;
    this.#waiting.push(article);
    if (this.#waiting.length > 2 * MAX_ROWS) this.#waiting.splice(0, this.#waiting.length - MAX_ROWS);
  }

  clear() {
    this.#body.replaceChildren();
    this.#shown = [];
    this.#waiting = [];
    this.waiting = 0;
  }

  /** Who walks through the titles by keyboard must not lose the place. */
  get isRead() {
    return this.#body.querySelector(":focus-visible") !== null;
  }

  /**
   * Once a frame, however many came.
   * @param {number} nowMs By the server's clock.
   */
  draw(nowMs) {
    if (!this.waiting || this.paused || this.isRead) return;
    const fresh = this.#waiting.slice(-MAX_ROWS).reverse().map((article) => rowOf(article, nowMs));
    this.#waiting = [];
    this.waiting = 0;
    this.#body.prepend(...fresh.map((shown) => shown.row));
    this.#shown.unshift(...fresh);
    for (const { row } of this.#shown.splice(MAX_ROWS)) row.remove();
  }

  /** @param {number} nowMs */
  tick(nowMs) {
    for (const { shown, editedMs } of this.#shown) {
      const text = ageText(editedMs, nowMs);
      if (shown.data !== text) shown.data = text;
    }
  }
}

/** @param {Article} article @returns {number} NaN where it does not say. */
export function editedMsOf(article) {
  return Date.parse(article.event?.date_created ?? "");
}

/** @param {number} editedMs @param {number} nowMs */
function ageText(editedMs, nowMs) {
  if (Number.isNaN(editedMs)) return "–";
  const seconds = (nowMs - editedMs) / 1000;
  return seconds < 9.95 ? `${Math.max(0, Math.round(seconds))} s` : age(seconds); // tenths would flicker
}

/** @param {Article} article @param {number} nowMs @returns {Shown} */
function rowOf(article, nowMs) {
  const editedMs = editedMsOf(article);
  const shown = document.createTextNode(ageText(editedMs, nowMs));
  const time = element("time", "", shown);
  if (!Number.isNaN(editedMs)) time.dateTime = new Date(editedMs).toISOString();
  const change = changeOf(article);
  const licences = Array.isArray(article.license) ? article.license : [];
  const row = element(
    "tr",
    article.event?.type === "delete" ? "gone" : "",
    cell("age", time),
    cell("title", ...titleOf(article)),
    cell("wiki", text(article.is_part_of?.identifier)),
    cell("kind", ...kindOf(article)),
    cell(`number ${change.tone}`, change.text),
    cell("licence", licences.map((one) => text(one?.identifier || one?.name)).join(", ") || "–"),
  );
  row.setAttribute("role", "row");
  return { row, shown, editedMs };
}

/** @param {Article} article */
function titleOf(article) {
  const name = element("bdi", "name", text(article.name) || "(no title)");
  // The page's direction where it is known, else the title's own: "auto" alone goes wrong for a Hebrew
  // page whose title begins with a Latin word.
  const direction = article.in_language?.direction;
  name.dir = direction === "rtl" || direction === "ltr" ? direction : "auto";
  const language = text(article.in_language?.identifier);
  if (/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/.test(language)) name.lang = language;
  const parts = [linked(name, article)];
  const from = text(article.event?.previous?.name);
  if (from) parts.push(element("span", "from", "from ", element("bdi", "", from)));
  const comment = text(article.version?.comment);
  if (comment) {
    const said = element("bdi", "comment", comment);
    said.dir = "auto";
    parts.push(said);
  }
  return parts;
}

/** @param {HTMLElement} name @param {Article} article @returns {HTMLElement} A link only to the web. */
function linked(name, article) {
  const url = URL.parse?.(text(article.url)) ?? null;
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return name;
  const link = element("a", "", name);
  link.href = url.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

/** @param {Article} article */
function kindOf(article) {
  const version = article.version ?? {};
  const flags = [
    version.editor?.is_bot === true && "bot",
    version.is_minor_edit === true && "minor",
    article.event?.late === true && "late",
  ].filter(Boolean);
  const kind = text(article.event?.kind) || text(article.event?.type) || "–";
  return flags.length ? [kind, element("span", "flags", ` ${flags.join(", ")}`)] : [kind];
}

/** @param {Article} article @returns {{text: string, tone: string}} */
function changeOf(article) {
  const now = article.version?.size?.value;
  const before = article.event?.kind === "create" ? 0 : article.previous_version?.size?.value;
  if (typeof now !== "number" || typeof before !== "number") return { text: "–", tone: "unknown" };
  const change = now - before;
  const tone = change > 0 ? "plus" : change < 0 ? "minus" : "unknown";
  return { text: signed(change), tone: Math.abs(change) >= LARGE_BYTES ? `${tone} large` : tone };
}

/** @param {string} name @param {...(Node | string)} parts */
function cell(name, ...parts) {
  const made = element("td", name, ...parts);
  made.setAttribute("role", "cell");
  return made;
}

/** @param {unknown} value @returns {string} */
function text(value) {
  return typeof value === "string" ? value : "";
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {string} name Its class. @param {...(Node | string)} parts
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, name, ...parts) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...parts);
  return made;
}
