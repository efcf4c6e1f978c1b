/** What is shown now: a face at rest, a line on the clock, or live speech; with the transport under it. */

import type { Clock } from "./clock";
import { type Curves, outlineOf } from "./curves";
import { byId } from "./dom";
import type { Face } from "./face";
import type { Line } from "./line";
import type { Live } from "./live";

const WINDOW = 8; // seconds of live speech in view
const TOLD_EVERY = 60; // ms
const EASE = 9; // per second, of a face at rest towards another
const STEPS: Record<string, number> = { ArrowLeft: -1 / 30, ArrowRight: 1 / 30, PageDown: -1, PageUp: 1, Home: -1e9, End: 1e9 };

export class Player {
  private line: Line | null = null;
  private live: Live | null = null;
  private readonly pose: Float32Array;
  private readonly shown: Float32Array;
  private before = 0;
  private chosenAt = 0;
  private readonly button = byId("play", HTMLButtonElement);
  private readonly graph = byId("graph", HTMLCanvasElement);

  constructor(
    private readonly clock: Clock,
    private readonly face: Face,
    private readonly curves: Curves,
    private readonly names: readonly string[],
  ) {
    this.pose = new Float32Array(names.length);
    this.shown = new Float32Array(names.length);
    curves.onseek = (second) => this.seek(second);
    clock.onend = () => this.label();
    this.button.addEventListener("click", () => void this.toggle());
    this.graph.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.seek(this.clock.position + step);
    });
    document.addEventListener("keydown", (event) => {
      const busy = event.target instanceof Element && event.target.closest("input, textarea, select, button, summary, a, label");
      if (event.key !== " " || busy) return;
      event.preventDefault();
      void this.toggle();
    });
    requestAnimationFrame((now) => this.next(now));
    window.setInterval(() => this.tell(), TOLD_EVERY); // apart from the pictures, which a hidden page does not draw
  }

  /** The face without a line. */
  rest(weights: Record<string, number>): void {
    this.names.forEach((name, c) => (this.pose[c] = weights[name] ?? 0));
  }

  /** Show a line with its sound; `keep`: go on where the last one is. */
  load(line: Line, sound: AudioBuffer | null, name: string, keep: boolean): void {
    const { position, playing } = this.clock;
    const seconds = sound?.duration ?? Math.max(0, line.last);
    this.line = line;
    if (!keep) {
      this.clock.load(sound, seconds);
    } else if (!playing) {
      this.clock.seek(position);
    }
    this.curves.set({ line, outline: sound && outlineOf(sound), from: 0, to: Math.max(0.1, seconds) }, true);
    byId("line-name", HTMLElement).textContent = name;
    this.label();
  }

  /** Follow live speech; null: no longer. */
  follow(live: Live | null): void {
    this.clock.pause();
    this.live = live;
    if (live) this.line = null;
    byId("stats", HTMLElement).hidden = !live;
    if (live) byId("line-name", HTMLElement).textContent = "live";
    else this.curves.set({ line: null, outline: null, from: 0, to: 1 }, true);
    this.label();
  }

  async play(): Promise<void> {
    if (!this.line || this.live) return;
    await this.clock.play();
    this.label();
  }

  private async toggle(): Promise<void> {
    if (!this.clock.playing) return this.play();
    this.clock.pause();
    this.label();
  }

  private seek(second: number): void {
    if (this.line && !this.live) this.clock.seek(second);
  }

  private next(now: number): void {
    const elapsed = Math.min(0.1, (now - this.before) / 1000);
    this.before = now;
    const line = this.live?.line ?? this.line;
    if (this.live) this.live.follow(elapsed);
    const position = this.live?.position ?? this.clock.position;
    if (!line?.sample(position, this.shown)) this.ease(elapsed);
    this.face.show(this.shown);
    if (this.live) this.scroll(this.live, position, now);
    this.curves.draw(line ? position : NaN, this.shown);
    this.face.render();
    requestAnimationFrame((then) => this.next(then));
  }

  private ease(elapsed: number): void {
    const share = 1 - Math.exp(-EASE * elapsed);
    for (let c = 0; c < this.shown.length; c++) this.shown[c] += (this.pose[c] - this.shown[c]) * share;
  }

  private scroll(live: Live, position: number, now: number): void {
    const choose = now - this.chosenAt > 900;
    if (choose) this.chosenAt = now;
    const from = Math.max(0, position - WINDOW + 0.6);
    this.curves.set({ line: live.line, outline: null, from, to: from + WINDOW }, choose);
  }

  private tell(): void {
    const position = this.live?.position ?? this.clock.position;
    byId("now", HTMLOutputElement).value = position.toFixed(2);
    this.graph.setAttribute("aria-valuenow", position.toFixed(2));
    const { live } = this;
    if (!live) return;
    byId("stat-lag", HTMLElement).textContent = `${Math.round(live.lag * 1000)} ms`;
    byId("stat-first", HTMLElement).textContent = ms(live.firstFrame);
    document.body.style.setProperty("--level", Math.min(1, live.level * 3).toFixed(2));
  }

  private label(): void {
    const { playing, seconds } = this.clock;
    const some = this.line !== null && !this.live;
    this.button.disabled = !some;
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.button.classList.toggle("playing", playing);
    byId("length", HTMLElement).textContent = some ? ` / ${seconds.toFixed(2)} s` : " s";
    this.graph.setAttribute("aria-valuemax", some ? seconds.toFixed(2) : "0");
    byId("nothing", HTMLElement).hidden = this.line !== null || this.live !== null;
  }
}

function ms(seconds: number): string {
  return Number.isNaN(seconds) ? "–" : `${Math.round(seconds * 1000)} ms`;
}
