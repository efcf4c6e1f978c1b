/** Frames with their times; what is shown between two of them is interpolated. */

import type { AnimationReply } from "./api";

/** A function: weights in the order of names that came -> in the order of ours; 0 where one did not come. */
export function placesOf(from: readonly string[], to: readonly string[]): (row: ArrayLike<number>) => Float32Array {
  const places = to.map((name) => from.indexOf(name));
  return (row) => Float32Array.from(places, (place) => (place < 0 ? 0 : row[place]));
}

export class Line {
  readonly times: number[] = [];
  readonly rows: Float32Array[] = [];

  constructor(readonly names: readonly string[]) {}

  static fromReply(names: readonly string[], reply: AnimationReply): Line {
    const line = new Line(names);
    const place = placesOf(reply.names, names);
    reply.weights.forEach((row, k) => line.append(k / reply.fps, place(row)));
    return line;
  }

  /** Frames come in order; one from before the last, sent again after a break, is left out. */
  append(time: number, row: Float32Array): void {
    if (time <= this.last) return;
    this.times.push(time);
    this.rows.push(row);
  }

  get last(): number {
    return this.times.length ? this.times[this.times.length - 1] : -Infinity;
  }

  /** The number of the last frame at or before a time, -1 before the first. */
  indexAt(time: number): number {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Write the weights at a time into `out`; false if there are none yet. */
  sample(time: number, out: Float32Array): boolean {
    if (!this.rows.length) return false;
    const before = Math.max(0, this.indexAt(time));
    const after = Math.min(before + 1, this.rows.length - 1);
    const span = this.times[after] - this.times[before];
    const share = span > 0 ? Math.min(1, Math.max(0, (time - this.times[before]) / span)) : 0;
    const a = this.rows[before];
    const b = this.rows[after];
    for (let c = 0; c < out.length; c++) out[c] = a[c] + (b[c] - a[c]) * share;
    return true;
  }

  /** The largest weight of each channel between two times. */
  peaks(from = -Infinity, to = Infinity): Float32Array {
    const most = new Float32Array(this.names.length);
    for (let k = Math.max(0, this.indexAt(from)); k < this.rows.length && this.times[k] <= to; k++) {
      const row = this.rows[k];
      for (let c = 0; c < most.length; c++) if (row[c] > most[c]) most[c] = row[c];
    }
    return most;
  }
}
