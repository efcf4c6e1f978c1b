/** Live speech: what is heard goes to the service, and the face follows by as little as its frames allow. */

import type { Api, Problem, StyleSpec, TimedStyle } from "./api";
import type { Clock } from "./clock";
import { Line, placesOf } from "./line";
import { type Capture, fromMicrophone, fromSound, type Piece } from "./mic";
import { Stream } from "./stream";
import { toPcm, toWav } from "./wav";

export interface Take {
  sound: Blob;
  track: TimedStyle[];
  seconds: number;
}

export interface LiveEvents {
  /** Something to tell: a state, or why it is not going on. */
  told(text: string, problem: Problem | null): void;
  ended(take: Take | null): void;
}

const FIRST_LAG = 0.35;
const MARGIN = 0.03;
const BREAK = 1.5; // older frames than that mean a break, not a lag
const REMEMBERED = 3;
const PATIENCE = 3; // seconds for the last frames, should the service not answer
const LONGEST_TAKE = 240; // seconds that are kept to play again

export class Live {
  readonly line: Line;
  /** Seconds from the service's hearing the first sound to its first frame. */
  firstFrame = NaN;
  level = 0;
  private lag_ = FIRST_LAG;
  private ages: [number, number][] = [];
  private place = placesOf([], []);
  private began = NaN;
  private heard = 0;
  private capture: Capture | null = null;
  private stream: Stream | null = null;
  private over = false;
  private finished = false;
  private before = -Infinity; // the newest frame's second before the last message
  private readonly kept: Int16Array<ArrayBuffer>[] = [];
  private track: TimedStyle[];

  private constructor(
    private readonly api: Api,
    private readonly clock: Clock,
    private readonly fromFile: boolean,
    private readonly model: string,
    private style: StyleSpec,
    private readonly events: LiveEvents,
    names: readonly string[],
  ) {
    this.line = new Line(names);
    this.track = [{ at: 0, ...style }];
  }

  /** Begin; `sound` is streamed in real time, or without one the microphone is. */
  static async start(
    api: Api, clock: Clock, names: readonly string[], model: string, style: StyleSpec,
    sound: AudioBuffer | null, events: LiveEvents,
  ): Promise<Live> {
    const live = new Live(api, clock, sound !== null, model, style, events, names);
    const hear = (piece: Piece): void => live.hear(piece);
    live.capture = sound
      ? await fromSound(clock.context, sound, hear, () => live.end())
      : await fromMicrophone(clock.context, hear);
    live.capture.delay(live.lag_);
    return live;
  } // prettier-ignore

  /** Seconds by which the face is behind the sound that comes in. */
  get lag(): number {
    return this.lag_;
  }

  /** Second of the sound whose face is to be shown now. */
  get position(): number {
    if (Number.isNaN(this.began)) return 0;
    // A file is heard as late as its face is shown; what the sound card adds, the face waits for, too.
    const card = this.fromFile ? this.clock.outputLatency : 0;
    return Math.max(0, this.clock.context.currentTime - this.began - this.lag_ - card);
  }

  /** Called for each picture: let the lag go where it is needed, too slowly to be seen. */
  follow(elapsed: number): void {
    const now = this.clock.context.currentTime;
    if (!this.fromFile) this.ages = this.ages.filter(([when]) => now - when < REMEMBERED);
    if (!this.ages.length) return;
    const wanted = MARGIN + Math.max(...this.ages.map(([, age]) => age));
    const step = 0.25 * elapsed;
    this.lag_ += Math.max(-0.2 * step, Math.min(step, wanted - this.lag_));
    this.capture?.delay(this.lag_);
  }

  change(style: StyleSpec, transition: number): void {
    this.style = style;
    this.stream?.style(style, transition);
  }

  /** Stop hearing; `ended` follows with what was said. */
  stop(): void {
    if (this.over) return;
    this.capture?.stop();
    this.end();
  }

  /** No more sound comes; what has come is still shown. */
  private end(): void {
    if (this.over) return;
    this.over = true;
    if (!this.stream) return this.finish();
    this.stream.end();
    window.setTimeout(() => this.finish(), PATIENCE * 1000);
  }

  private ended(): void {
    const left = this.fromFile ? this.heard - this.position : 0;
    window.setTimeout(() => this.finish(), Math.max(0, Math.min(PATIENCE, left)) * 1000);
  }

  private finish(): void {
    if (this.finished) return;
    this.finished = this.over = true;
    this.capture?.stop();
    this.stream?.close();
    const whole = this.heard > 0 && this.heard <= LONGEST_TAKE;
    const rate = this.capture?.rate ?? 0;
    this.events.ended(whole ? { sound: toWav(this.kept, rate), track: this.track, seconds: this.heard } : null);
  }

  private hear({ samples, began }: Piece): void {
    const rate = this.capture?.rate;
    if (this.over || !rate) return;
    if (Number.isNaN(this.began)) this.began = began;
    this.stream ??= this.connect(rate);
    const pcm = toPcm(samples);
    let energy = 0;
    for (const sample of samples) energy += sample * sample;
    this.level = Math.max(Math.sqrt(energy / samples.length), 0.85 * this.level);
    this.stream.push(pcm, this.heard);
    this.heard += samples.length / rate;
    if (this.heard <= LONGEST_TAKE) this.kept.push(pcm);
    else this.kept.length = 0;
  }

  private connect(rate: number): Stream {
    this.events.told("Connecting …", null);
    return new Stream(() => this.api.streamUrl, rate, this.model, this.style, {
      configured: ({ names }) => {
        this.place = placesOf(names, this.line.names);
        this.events.told("Live", null);
      },
      frame: (second, weights) => this.line.append(second, this.place(weights)),
      arrived: () => this.arrived(),
      firstFrame: (latency) => (this.firstFrame = latency),
      styleChanged: (style, at, transition) => this.track.push({ ...style, at, transition }),
      ended: () => this.ended(),
      problem: (problem, retry) => {
        this.events.told(retry ? `${problem.message}. Trying again …` : problem.message, problem);
        if (retry === null) this.finish();
      },
    });
  }

  /** Just before these frames came, the newest was as old as a frame ever gets. */
  private arrived(): void {
    const now = this.clock.context.currentTime;
    const age = now - this.began - this.before;
    if (age < BREAK) this.ages.push([now, age]);
    if (this.ages.length > 400) this.ages.splice(0, 200, [now, Math.max(...this.ages.slice(0, 200).map((a) => a[1]))]);
    this.before = this.line.last;
  }
}
