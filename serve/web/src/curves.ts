/** The channels over time as curves, with the sound's outline behind them; a click goes there. */

import type { Line } from "./line";

export interface View {
  line: Line | null;
  /** Loudness in equal steps over the line, 0..1. */
  outline: Float32Array | null;
  from: number;
  to: number;
}

const SHOWN = 10;
const LEAST = 0.02;
const PAD = { top: 10, bottom: 20 };
const HUES = [38, 190, 290, 130, 245, 90, 340, 160, 215, 60, 315, 15];
const DASHES = [5, 3];

interface Curve {
  channel: number;
  color: string;
  dashed: boolean;
  value: HTMLElement;
}

export class Curves {
  private view: View = { line: null, outline: null, from: 0, to: 1 };
  private curves: Curve[] = [];
  private readonly slots = new Map<string, number>();
  private listedDark = true;
  private lit = -1;
  private dark = true;
  private stale = true;
  private toldAt = 0;

  /** Called with a second that was clicked, dragged or stepped to. */
  onseek: (second: number) => void = () => undefined;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly head: HTMLElement,
    private readonly legend: HTMLElement,
    private readonly region: HTMLSelectElement,
    private readonly names: readonly string[],
    private readonly regions: Record<string, string[]>,
  ) {
    region.addEventListener("change", () => this.choose());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.seek(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.seek(event);
    });
    new ResizeObserver(() => {
      this.stale = true;
      this.draw();
    }).observe(canvas);
  }

  setDark(dark: boolean): void {
    this.dark = dark;
    this.choose();
  }

  /** Show another line or another part of it. */
  set(view: View, choose: boolean): void {
    this.view = view;
    this.stale = true;
    if (choose) this.choose();
  }

  /** Pick the channels to show: the strongest, or those of a region that move. */
  choose(): void {
    const { line, from, to } = this.view;
    const peaks = line?.peaks(from, to) ?? new Float32Array(this.names.length);
    const within = new Set(this.regions[this.region.value] ?? this.names);
    const most = this.region.value in this.regions ? Infinity : SHOWN;
    const channels = this.names
      .map((_, c) => c)
      .filter((c) => peaks[c] > LEAST && within.has(this.names[c]))
      .sort((a, b) => peaks[b] - peaks[a])
      .slice(0, most);
    const same = channels.length === this.curves.length && channels.every((c) => this.curves.some((k) => k.channel === c));
    if (!same || this.listedDark !== this.dark) this.list(channels);
    this.stale = true;
  }

  /** Draw what changed, and the playhead. */
  draw(position = NaN, sample: Float32Array | null = null): void {
    if (this.stale) this.paint();
    const { from, to } = this.view;
    const share = (position - from) / (to - from);
    this.head.hidden = !(share >= 0 && share <= 1);
    if (!this.head.hidden) this.head.style.transform = `translateX(${(share * this.canvas.clientWidth).toFixed(1)}px)`;
    if (!sample || performance.now() - this.toldAt < 90) return;
    this.toldAt = performance.now();
    for (const { channel, value } of this.curves) value.textContent = sample[channel].toFixed(2);
  }

  /** The two sides of a face share a hue, which stays theirs as long as they are shown. */
  private colors(channels: number[]): string[] {
    const stems = channels.map((channel) => stemOf(this.names[channel]));
    for (const stem of this.slots.keys()) if (!stems.includes(stem)) this.slots.delete(stem);
    return stems.map((stem) => {
      const taken = new Set(this.slots.values());
      let slot = this.slots.get(stem) ?? 0;
      while (!this.slots.has(stem) && taken.has(slot)) slot++;
      this.slots.set(stem, slot);
      const hue = HUES[slot % HUES.length];
      return this.dark ? `oklch(0.79 0.12 ${hue})` : `oklch(0.56 0.14 ${hue})`;
    });
  }

  private list(channels: number[]): void {
    this.lit = -1;
    this.listedDark = this.dark;
    this.legend.replaceChildren();
    const colors = this.colors(channels);
    this.curves = channels.map((channel, k) => {
      const item = document.createElement("li");
      const value = document.createElement("b");
      const color = colors[k];
      const dashed = this.names[channel].endsWith("Right") && stemOf(this.names[channel]) !== this.names[channel];
      item.style.setProperty("--curve", color);
      if (dashed) item.style.setProperty("--stroke", "dashed");
      item.append(this.names[channel], value);
      item.addEventListener("pointerenter", () => this.light(channel));
      item.addEventListener("pointerleave", () => this.light(-1));
      this.legend.append(item);
      return { channel, color, dashed, value };
    });
  }

  private light(channel: number): void {
    this.lit = channel;
    this.stale = true;
  }

  private seek(event: PointerEvent): void {
    if (!this.view.line) return;
    const { left, width } = this.canvas.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    this.onseek(this.view.from + share * (this.view.to - this.view.from));
  }

  private paint(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    if (!pen || !width || !height) return;
    this.stale = false;
    const scale = Math.min(devicePixelRatio, 2);
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    pen.scale(scale, scale);
    const ink = getComputedStyle(this.canvas).color;
    const x = (second: number): number => ((second - this.view.from) / (this.view.to - this.view.from)) * width;
    const y = (weight: number): number => height - PAD.bottom - weight * (height - PAD.top - PAD.bottom);
    this.paintScale(pen, ink, width, x, y);
    this.paintOutline(pen, ink, width, x, y);
    this.paintCurves(pen, x, y);
  }

  private paintScale(pen: Pen, ink: string, width: number, x: Scale, y: Scale): void {
    pen.strokeStyle = pen.fillStyle = ink;
    pen.lineWidth = 1;
    pen.globalAlpha = this.view.line ? 0.13 : 0.05;
    for (const weight of [0, 0.5, 1]) {
      const at = Math.round(y(weight)) + 0.5;
      pen.beginPath();
      pen.moveTo(0, at);
      pen.lineTo(width, at);
      pen.stroke();
    }
    if (!this.view.line) return;
    const span = this.view.to - this.view.from;
    const step = [0.5, 1, 2, 5, 10, 30, 60, 120].find((s) => (span / s) * 44 < width) ?? 300;
    pen.font = "11px system-ui, sans-serif";
    pen.globalAlpha = 0.6;
    for (let second = Math.ceil(this.view.from / step) * step; second < this.view.to; second += step) {
      const at = x(second);
      if (at > width - 24) continue;
      pen.fillText(step < 1 ? second.toFixed(1) : `${second} s`, at + 4, y(0) + 15);
      pen.fillRect(Math.round(at), y(0), 1, 4);
    }
  }

  private paintOutline(pen: Pen, ink: string, width: number, x: Scale, y: Scale): void {
    const { outline, line } = this.view;
    if (!outline || !line) return;
    const end = Math.min(width, x(line.last));
    const middle = (y(0) + y(1)) / 2;
    const half = (y(0) - y(1)) * 0.42;
    pen.fillStyle = ink;
    pen.globalAlpha = 0.1;
    pen.beginPath();
    for (let k = 0; k < outline.length; k++) pen.lineTo((k / outline.length) * end, middle - half * outline[k]);
    for (let k = outline.length - 1; k >= 0; k--) pen.lineTo((k / outline.length) * end, middle + half * outline[k]);
    pen.fill();
  }

  private paintCurves(pen: Pen, x: Scale, y: Scale): void {
    const { line, from, to } = this.view;
    if (!line) return;
    const first = Math.max(0, line.indexAt(from));
    const end = Math.min(line.rows.length, line.indexAt(to) + 2);
    const every = Math.max(1, Math.floor((end - first) / 2400));
    pen.lineJoin = "round";
    for (const { channel, color, dashed } of this.curves) {
      pen.globalAlpha = this.lit < 0 ? 0.92 : this.lit === channel ? 1 : 0.14;
      pen.lineWidth = this.lit === channel ? 2.4 : 1.5;
      pen.strokeStyle = color;
      pen.setLineDash(dashed ? DASHES : []);
      pen.beginPath();
      for (let k = first; k < end; k += every) pen.lineTo(x(line.times[k]), y(line.rows[k][channel]));
      pen.stroke();
    }
  }
}

type Pen = CanvasRenderingContext2D;
type Scale = (value: number) => number;

/** What the channels of both sides have in common; jawLeft and the like are directions, not sides. */
function stemOf(name: string): string {
  return /^(jaw|mouth)(Left|Right)$/.test(name) ? name : name.replace(/(Left|Right)$/, "");
}

/** The sound's loudness in equal steps, the loudest 1. */
export function outlineOf(sound: AudioBuffer, steps = 500): Float32Array {
  const samples = sound.getChannelData(0);
  const outline = new Float32Array(steps);
  const each = samples.length / steps;
  for (let k = 0; k < steps; k++) {
    let most = 0;
    for (let n = Math.floor(k * each); n < (k + 1) * each && n < samples.length; n += 2) {
      most = Math.max(most, Math.abs(samples[n]));
    }
    outline[k] = most;
  }
  const top = Math.max(1e-4, ...outline);
  return outline.map((value) => value / top);
}
