/**
 * One stream of `/v2/articles`, kept up: by `fetch`, because the key goes into a header, and resumed by
 * `Last-Event-ID` after every break, so that nothing is missing and nothing comes twice.
 */

import { timeText } from "./ask.js";
import { EventParser } from "./sse.js";

/** Heartbeats come every 15 s: with three of them missing, the line is dead and does not know it. */
const SILENCE_MS = 50_000;
const RETRY_MS = 3_000;
const MAX_WAIT_MS = 60_000;
/** So long the parsing of what has piled up may keep the page from drawing. */
const SLICE_MS = 8;

/**
 * @typedef {import("./sse.js").ServerEvent} ServerEvent
 * @typedef {import("./words.js").Problem} Problem
 * @typedef {object} State
 * @property {"connecting" | "live" | "waiting" | "stopped"} name
 * @property {number} [waitMs] Of `waiting`.
 * @property {Problem} [problem] Why it waits or has stopped, where the server said so.
 * @typedef {object} Listener
 * @property {(state: State) => void} onState
 * @property {(events: ServerEvent[]) => void} onEvents
 * @property {(skewMs: number) => void} onClock How far the server's clock is ahead of this one.
 */

export class Feed {
  #url;
  #listener;
  /** @type {AbortController | null} */
  #following = null;

  /** @param {string} url @param {Listener} listener */
  constructor(url, listener) {
    this.#url = url;
    this.#listener = listener;
  }

  /**
   * Ends what ran before. After that nothing of it is heard any more.
   * @param {string} key @param {URLSearchParams} parameters @param {string} [lastId] Where to resume.
   */
  start(key, parameters, lastId = "") {
    this.stop();
    this.#following = new AbortController();
    const following = new Following(this.#url, key, parameters, lastId, this.#listener, this.#following.signal);
    void following.run();
  }

  stop() {
    this.#following?.abort();
    this.#following = null;
  }
}

/** From a start to its stop, over all reconnects. */
class Following {
  #url;
  #key;
  #parameters;
  #lastId;
  #listener;
  #signal;
  #retryMs = RETRY_MS;
  #failures = 0;

  /**
   * @param {string} url @param {string} key @param {URLSearchParams} parameters @param {string} lastId
   * @param {Listener} listener @param {AbortSignal} signal
   */
  constructor(url, key, parameters, lastId, listener, signal) {
    this.#url = url;
    this.#key = key;
    this.#parameters = new URLSearchParams(parameters);
    this.#lastId = lastId;
    this.#listener = listener;
    this.#signal = signal;
  }

  async run() {
    while (!this.#signal.aborted) {
      this.#say({ name: "connecting" });
      /** @type {Problem | undefined} */
      let problem;
      let askedMs = 0;
      try {
        const answer = await this.#connect();
        if (answer.ok) {
          await this.#read(answer);
        } else {
          problem = await problemOf(answer);
          askedMs = 1000 * Number(answer.headers.get("Retry-After") ?? 0) || 0;
          if (answer.status < 500 && answer.status !== 429) {
            this.#say({ name: "stopped", problem }); // the same again would get the same answer
            return;
          }
        }
      } catch {
        // broken off, refused, silent for too long: there is one answer to all of it
      }
      if (this.#signal.aborted) return;
      const backoffMs = Math.min(MAX_WAIT_MS, this.#retryMs * 2 ** this.#failures);
      this.#failures += 1;
      const waitMs = Math.max(askedMs, backoffMs) * (1 + Math.random() / 4); // not all at once after a restart
      this.#say({ name: "waiting", waitMs, problem });
      await waited(waitMs, this.#signal);
    }
  }

  async #connect() {
    /** @type {Record<string, string>} */
    const headers = { Authorization: `Bearer ${this.#key}`, Accept: "text/event-stream" };
    if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
    const query = this.#parameters.size ? `?${this.#parameters}` : "";
    const answer = await fetch(this.#url + query, {
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: this.#signal,
    });
    const serverMs = Date.parse(answer.headers.get("Date") ?? "");
    if (answer.ok && serverMs) {
      this.#listener.onClock(serverMs + 500 - Date.now()); // it is told in whole seconds
      // A break before the first id would else begin anew at "now" and miss what came between.
      if (!this.#parameters.has("since")) this.#parameters.set("since", timeText(serverMs));
    }
    return answer;
  }

  /** @param {Response} answer Until its end, which is never one: the feed has none. */
  async #read(answer) {
    if (!answer.body) return;
    const reader = answer.body.getReader();
    const parser = new EventParser();
    const watchdog = new Watchdog(SILENCE_MS, () => void reader.cancel().catch(() => {}));
    try {
      this.#say({ name: "live" });
      let since = performance.now();
      for (;;) {
        watchdog.feed();
        const { done, value } = await reader.read();
        if (done || this.#signal.aborted) return;
        const events = parser.push(value);
        this.#lastId = parser.lastId || this.#lastId;
        this.#retryMs = parser.retry ?? this.#retryMs;
        this.#failures = 0;
        if (events.length) this.#listener.onEvents(events);
        if (performance.now() - since > SLICE_MS) {
          await breath();
          since = performance.now();
        }
      }
    } finally {
      watchdog.stop();
    }
  }

  /** @param {State} state */
  #say(state) {
    if (!this.#signal.aborted) this.#listener.onState(state);
  }
}

class Watchdog {
  #timer = 0;

  /** @param {number} ms @param {() => void} onSilence */
  constructor(ms, onSilence) {
    this.ms = ms;
    this.onSilence = onSilence;
  }

  feed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.onSilence, this.ms);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** @param {Response} answer @returns {Promise<Problem>} */
async function problemOf(answer) {
  try {
    const body = await answer.json();
    return { detail: "", ...body, status: answer.status };
  } catch {
    return { status: answer.status, detail: "" }; // a proxy's page
  }
}

/** @param {number} ms @param {AbortSignal} signal Ends it, as does coming back online. */
function waited(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      window.removeEventListener("online", over);
      resolve(undefined);
    };
    const timer = setTimeout(over, ms);
    window.addEventListener("online", over);
    signal.addEventListener("abort", over, { once: true });
  });
}

/** Lets the page draw and hear. Not by a timer: those of hidden tabs come once a second, or a minute. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
}
