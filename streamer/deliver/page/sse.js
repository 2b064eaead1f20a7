/**
 * Server-sent events out of bytes, as the HTML standard reads them (section 9.2.6), for `fetch`: the
 * browser's own EventSource cannot send a key.
 *
 * @typedef {object} ServerEvent
 * @property {string} type `message` where the event is unnamed.
 * @property {string} data
 * @property {string} id The last one given, by this event or an earlier one.
 */

export class EventParser {
  /** The last id of a *finished* event: where to resume. */
  lastId = "";
  /** @type {number | null} What the server asks a client to wait before it comes back, in ms. */
  retry = null;

  /** Without an error for broken UTF-8, as the standard wants it; the decoder drops a BOM too. */
  #decoder = new TextDecoder();
  /** @type {string[]} The line that is not finished, in pieces: an article may come in hundreds of chunks. */
  #line = [];
  #afterCR = false;
  #type = "";
  /** @type {string[]} */
  #data = [];
  #id = "";

  /**
   * @param {Uint8Array} bytes The next chunk; it may end anywhere, within a character too.
   * @returns {ServerEvent[]} What became whole with it. What is unfinished at the end of the stream is
   *   never given out, so that a broken connection cannot pass off half an event as one.
   */
  push(bytes) {
    const events = /** @type {ServerEvent[]} */ ([]);
    const text = this.#decoder.decode(bytes, { stream: true });
    let from = 0;
    if (this.#afterCR && text) {
      from = text[0] === "\n" ? 1 : 0;
      this.#afterCR = false;
    }
    const ends = /\r\n|\n|\r/g;
    ends.lastIndex = from;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      this.#line.push(text.slice(from, end.index));
      from = ends.lastIndex;
      this.#afterCR = end[0] === "\r" && from === text.length;
      this.#take(this.#line.length === 1 ? this.#line[0] : this.#line.join(""), events);
      this.#line = [];
    }
    if (from < text.length) this.#line.push(text.slice(from));
    return events;
  }

  /** @param {string} line @param {ServerEvent[]} events */
  #take(line, events) {
    if (line === "") {
      this.#dispatch(events);
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: the heartbeat
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }

  /** @param {ServerEvent[]} events */
  #dispatch(events) {
    this.lastId = this.#id;
    if (this.#data.length) {
      events.push({ type: this.#type || "message", data: this.#data.join("\n"), id: this.lastId });
    }
    this.#type = "";
    this.#data = [];
  }
}
