/**
 * What arrived when, and how old it was: a ring of time slots, each with a count and a histogram. Memory
 * and work are constant, however much arrives.
 */

export const SLOT_MS = 2_000;
export const SLOTS = 90; // three minutes
const BINS_PER_DECADE = 20; // so a median is right to 6 %
const LEAST_S = 0.01;
const DECADES = 9; // up to a hundred days
const BINS = BINS_PER_DECADE * DECADES;

/**
 * @typedef {object} Slot
 * @property {number} at Its number: the time in slots.
 * @property {number} count
 * @property {number} aged How many of these had an age.
 * @property {number} worst Seconds.
 * @property {Uint32Array} bins
 */

export class Tally {
  /** @type {Slot[]} */
  #slots = Array.from({ length: SLOTS }, () => ({ at: -1, count: 0, aged: 0, worst: 0, bins: new Uint32Array(BINS) }));

  /**
   * @param {number} nowMs
   * @param {number | null} ageS Null where the article does not say when it was edited.
   */
  add(nowMs, ageS) {
    const at = Math.floor(nowMs / SLOT_MS);
    const slot = this.#slots[at % SLOTS];
    if (slot.at !== at) {
      Object.assign(slot, { at, count: 0, aged: 0, worst: 0 });
      slot.bins.fill(0);
    }
    slot.count += 1;
    if (ageS === null) return;
    const age = Math.max(LEAST_S, ageS); // clocks differ: none is older than its own arrival
    slot.aged += 1;
    slot.worst = Math.max(slot.worst, age);
    const bin = Math.floor(Math.log10(age / LEAST_S) * BINS_PER_DECADE);
    slot.bins[Math.min(BINS - 1, bin)] += 1;
  }

  /**
   * @param {number} nowMs
   * @returns {{count: number, median: number | null, worst: number | null}[]} Oldest first; the last one is
   *   the slot that is still filling.
   */
  series(nowMs) {
    const last = Math.floor(nowMs / SLOT_MS);
    return Array.from({ length: SLOTS }, (_, i) => {
      const at = last - SLOTS + 1 + i;
      const slot = this.#slots[((at % SLOTS) + SLOTS) % SLOTS];
      return slot.at === at ? { count: slot.count, ...ages([slot]) } : { count: 0, median: null, worst: null };
    });
  }

  /**
   * @param {number} nowMs
   * @param {number} slots How many whole ones to look back on.
   * @returns {{perSecond: number, median: number | null, worst: number | null}}
   */
  recent(nowMs, slots) {
    const last = Math.floor(nowMs / SLOT_MS);
    const found = this.#slots.filter((slot) => slot.at >= last - slots && slot.at < last);
    const count = found.reduce((sum, slot) => sum + slot.count, 0);
    return { perSecond: count / ((slots * SLOT_MS) / 1000), ...ages(found) };
  }
}

/** @param {Slot[]} slots @returns {{median: number | null, worst: number | null}} Seconds. */
function ages(slots) {
  const aged = slots.reduce((sum, slot) => sum + slot.aged, 0);
  if (!aged) return { median: null, worst: null };
  let left = aged / 2;
  let bin = 0;
  for (; bin < BINS - 1; bin += 1) {
    for (const slot of slots) left -= slot.bins[bin];
    if (left <= 0) break;
  }
  const worst = Math.max(...slots.map((slot) => slot.worst));
  return { median: Math.min(worst, LEAST_S * 10 ** ((bin + 0.5) / BINS_PER_DECADE)), worst };
}
