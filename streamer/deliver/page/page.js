/** The page's wiring: form and feed in, table, figures and words out. */

import { KINDS, LEAN_FIELDS, filtersOf, parametersOf } from "./ask.js";
import { Feed } from "./feed.js";
import { plotAge, plotRate } from "./plot.js";
import { Rows, editedMsOf, element } from "./rows.js";
import { curlLine, requestText } from "./shell.js";
import { SLOT_MS, Tally } from "./tally.js";
import { age, count, inWords, rate } from "./words.js";

const PATH = "/v2/articles";
const KEPT = "key";
/** Clocks that differ by less are taken for equal: the server tells its time in whole seconds. */
const SKEW_MS = 2_000;
const FIGURE_SLOTS = 5; // ten seconds
const MINUTE_SLOTS = 30;
/** How often what screen readers find under the plots is said anew. */
const SAY_MS = 5_000;
const FIELDS = [
  "name", "version.editor.name", "version.editor.is_anonymous", "version.tags", "version.comment",
  "version.size.value", "categories.name", "templates.name", "main_entity.identifier", "license.identifier",
  "event.type", "is_disambiguation", "protection.type",
];

/**
 * @template {HTMLElement} Kind
 * @param {string} id @param {new () => Kind} kind @returns {Kind}
 */
function part(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

/** @param {string} id */
const box = (id) => part(id, HTMLElement);
/** @param {string} id */
const input = (id) => part(id, HTMLInputElement);
/** @param {string} id */
const select = (id) => part(id, HTMLSelectElement);
/** @param {string} id */
const button = (id) => part(id, HTMLButtonElement);
/** @param {string} id */
const svg = (id) => /** @type {SVGSVGElement} */ (/** @type {unknown} */ (document.getElementById(id)));

const form = part("ask", HTMLFormElement);
const rows = new Rows(box("rows"));
const tally = new Tally();
let skewMs = 0;
let total = 0;
let unreadable = 0;
let connects = 0;
let position = "";
let earliest = "";
let frame = 0;
let saidMs = 0;
let startedMs = 0;
let applied = "";

const now = () => Date.now() + skewMs;

// ── what is asked for ────────────────────────────────────────────────────────────────────────────

function wishes() {
  return {
    wiki: input("wiki").value,
    language: input("language").value,
    namespace: input("namespace").value,
    kinds: KINDS.filter((kind) => input(`kind-${kind}`).checked),
    bots: select("bots").value,
    minor: select("minor").value,
    rules: [...box("rules").children].map((row) => {
      const [field, value] = row.querySelectorAll("input");
      return { field: field.value, value: value.value };
    }),
    fields: input("fields").value,
    since: select("since").value,
  };
}

function tell() {
  const wanted = wishes();
  const parameters = parametersOf(wanted, now());
  box("line").textContent = curlLine(location.origin + PATH, parameters);
  box("sent").textContent = requestText(PATH, parameters, location.host);
  const filters = filtersOf(wanted).length;
  box("filter-count").textContent = filters ? `${filters} set` : "";
  box("copied").textContent = "";
  button("apply").classList.toggle("main", applied !== "" && applied !== JSON.stringify(wanted));
  return parameters;
}

let ruleCount = 0;

function addRule() {
  ruleCount += 1;
  const field = element("input", "");
  field.setAttribute("aria-label", `Field ${ruleCount}`);
  field.setAttribute("list", "known-fields");
  field.placeholder = "version.editor.name";
  const value = element("input", "");
  value.setAttribute("aria-label", `Value ${ruleCount}`);
  value.setAttribute("aria-describedby", "value-hint");
  value.placeholder = "value";
  for (const one of [field, value]) {
    one.autocapitalize = "none";
    one.spellcheck = false;
  }
  const remove = element("button", "small", "Remove");
  remove.type = "button";
  remove.setAttribute("aria-label", `Remove field ${ruleCount}`);
  const row = element("div", "rule", field, value, remove);
  remove.addEventListener("click", () => {
    row.remove();
    button("add-rule").focus();
    tell();
  });
  box("rules").append(row);
  field.focus();
}

/** @param {string} [lastId] */
function connect(lastId = "") {
  const key = input("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    trouble("A key has no spaces and only plain letters, digits and signs.", { atKey: true });
    return;
  }
  keep();
  trouble("");
  rows.clear();
  total = connects = unreadable = 0;
  position = "";
  startedMs = Date.now();
  applied = JSON.stringify(wishes());
  box("control").textContent = "none yet";
  button("disconnect").disabled = false;
  feed.start(key, tell(), lastId);
}

/** Nowhere but in this tab, and there only where that was asked for. */
function keep() {
  if (input("keep").checked) sessionStorage.setItem(KEPT, input("key").value.trim());
  else sessionStorage.removeItem(KEPT);
}

// ── what comes ───────────────────────────────────────────────────────────────────────────────────

const feed = new Feed(PATH, {
  onState(state) {
    button("connect").textContent = state.name === "stopped" ? "Connect" : "Connect anew";
    switch (state.name) {
      case "connecting":
        show("connecting", connects ? "Connecting again…" : "Connecting…");
        break;
      case "live":
        connects += 1;
        trouble("");
        show("live", connects === 1 ? "Connected." : "Connected again, where it broke off.");
        break;
      case "waiting":
        trouble(state.problem ? inWords(state.problem) : "");
        show("waiting", `Broken off. Next try in ${age((state.waitMs ?? 0) / 1000)}.`);
        break;
      case "stopped":
        show("stopped", "Stopped.");
        button("disconnect").disabled = true;
        if (state.problem) {
          earliest = state.problem.earliest ?? "";
          trouble(inWords(state.problem), { atKey: state.problem.status === 401 });
        }
    }
    drawFigures();
  },

  onEvents(events) {
    const nowMs = now();
    for (const event of events) {
      position = event.id;
      if (event.type === "message") take(event.data, nowMs);
      else control(event.type, event.data);
    }
    if (!frame) frame = requestAnimationFrame(draw);
  },

  onClock(aheadMs) {
    skewMs = Math.abs(aheadMs) < SKEW_MS ? 0 : aheadMs;
  },
});

/** @param {string} data @param {number} nowMs */
function take(data, nowMs) {
  let article;
  try {
    article = JSON.parse(data);
  } catch {
    unreadable += 1; // said in the status line; the others go on
    return;
  }
  total += 1;
  const editedMs = editedMsOf(article);
  tally.add(Date.now(), Number.isNaN(editedMs) ? null : (nowMs - editedMs) / 1000);
  rows.add(article);
}

/** @param {string} name @param {string} data */
function control(name, data) {
  let reason = "";
  try {
    reason = String(JSON.parse(data).reason ?? "");
  } catch {
    // its name alone, then
  }
  box("control").textContent = `${name}${reason ? ` (${reason})` : ""}, ${new Date().toLocaleTimeString()}`;
  if (name === "gap") show("live", `Not all could be resumed (${reason}); going on at the earliest that is kept.`);
}

// ── what is shown ────────────────────────────────────────────────────────────────────────────────

/** @param {string} state @param {string} words */
function show(state, words) {
  box("status").dataset.state = state;
  box("state").textContent = words;
}

/** @param {string} words "" for none. @param {{atKey?: boolean}} [where] */
function trouble(words, { atKey = false } = {}) {
  if (!words) earliest = "";
  box("trouble").textContent = words;
  box("trouble").hidden = !words;
  box("mend").hidden = !earliest;
  if (atKey) {
    input("key").setAttribute("aria-invalid", "true");
    input("key").focus();
  } else {
    input("key").removeAttribute("aria-invalid");
  }
}

/** Once a frame, however much came: a hidden tab draws nothing at all. */
function draw() {
  frame = 0;
  rows.draw(now());
  drawFigures();
}

function drawFigures() {
  box("total").textContent = count(total) + (unreadable ? ` (${count(unreadable)} unreadable)` : "");
  box("reconnects").textContent = count(Math.max(0, connects - 1));
  box("position").textContent = position || "none yet";
  const why = rows.paused ? "Paused" : rows.isRead ? "Held while a title has the focus" : "";
  box("held").textContent = why && `${why}; ${count(rows.waiting)} newer.`;
}

function drawPlots() {
  const nowMs = Date.now();
  const slots = Math.floor((nowMs - startedMs) / SLOT_MS); // what was before is not rate 0
  const lately = tally.recent(nowMs, Math.max(1, Math.min(FIGURE_SLOTS, slots)));
  const minute = tally.recent(nowMs, Math.max(1, Math.min(MINUTE_SLOTS, slots)));
  const series = tally.series(nowMs);
  box("rate").textContent = connects ? rate(lately.perSecond) : "–";
  box("median").textContent = minute.median === null ? "–" : age(minute.median);
  box("worst").textContent = minute.worst === null ? "–" : age(minute.worst);
  plotRate(svg("rate-plot"), series, SLOT_MS / 1000);
  plotAge(svg("age-plot"), series);
  if (nowMs < saidMs + SAY_MS) return;
  saidMs = nowMs;
  const most = Math.max(...series.map((slot) => slot.count)) / (SLOT_MS / 1000);
  if (most) box("rate-text").textContent = `${rate(minute.perSecond)}/s over the last minute, at most ${rate(most)}/s.`;
  if (minute.median !== null && minute.worst !== null) {
    const clock = skewMs ? ` This computer's clock is ${age(Math.abs(skewMs) / 1000)} off; that is allowed for.` : "";
    box("age-text").textContent = `From the edit to this page, over the last minute.${clock}`;
  }
}

function tick() {
  if (!document.hidden) {
    rows.draw(now()); // what was held by a focus that has gone
    rows.tick(now());
    drawFigures();
    drawPlots();
  }
}

// ── begin ────────────────────────────────────────────────────────────────────────────────────────

box("kinds").append(
  ...KINDS.map((kind) => {
    const tick = element("input", "");
    tick.type = "checkbox";
    tick.id = `kind-${kind}`;
    return element("label", "tick", tick, ` ${kind}`);
  }),
);
const known = element("datalist", "");
known.id = "known-fields";
known.append(...FIELDS.map((name) => Object.assign(document.createElement("option"), { value: name })));
form.append(known);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
form.addEventListener("input", () => tell());
button("disconnect").addEventListener("click", () => {
  feed.stop();
  show("idle", "Not connected.");
  trouble("");
  button("connect").textContent = "Connect";
  button("connect").focus(); // a disabled button loses it
  button("disconnect").disabled = true;
});
button("add-rule").addEventListener("click", addRule);
button("lean").addEventListener("click", () => {
  input("fields").value = LEAN_FIELDS;
  tell();
});
button("clear").addEventListener("click", () => {
  for (const field of box("filters").querySelectorAll("input")) {
    if (field.type === "checkbox") field.checked = false;
    else field.value = "";
  }
  for (const choice of box("filters").querySelectorAll("select")) choice.value = "";
  box("rules").replaceChildren();
  tell();
});
button("from-earliest").addEventListener("click", () => connect(earliest));
input("keep").addEventListener("change", keep);
button("pause").addEventListener("click", () => {
  rows.paused = !rows.paused;
  button("pause").setAttribute("aria-pressed", String(rows.paused));
  rows.draw(now());
  drawFigures();
});
button("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(box("line").textContent ?? "");
    box("copied").textContent = "Copied.";
  } catch {
    getSelection()?.selectAllChildren(box("line")); // without TLS there is no clipboard
    box("copied").textContent = "Selected: copy it by Ctrl-C.";
  }
});
document.addEventListener("visibilitychange", tick);

const kept = sessionStorage.getItem(KEPT);
if (kept) {
  input("key").value = kept;
  input("keep").checked = true;
}
part("filters", HTMLDetailsElement).open = matchMedia("(min-width: 60rem)").matches;
tell();
drawPlots();
setInterval(tick, 1000);
