/** The websocket: sound out, frames in; goes on after a break with the style that held. */

import { Problem, type StyleSpec } from "./api";

export interface Configured {
  names: string[];
  fps: number;
  look_ahead: number;
}

export interface StreamEvents {
  configured(told: Configured): void;
  /** Frames with their seconds since the first sound, whatever breaks there were. */
  frame(second: number, weights: Float32Array): void;
  /** All frames of a message have been given. */
  arrived(): void;
  firstFrame(latency: number): void;
  styleChanged(style: StyleSpec, at: number, transition: number): void;
  ended(): void;
  /** `retry`: seconds until the next try; null: it is over. */
  problem(problem: Problem, retry: number | null): void;
}

interface Message {
  type: string;
  [member: string]: unknown;
}

const HEAD_BYTES = 16;
const KEPT = 3; // seconds of sound that wait for a connection
const LONGEST_WAIT = 8;
const UNSENT = 1 << 20; // bytes in the socket: the network no longer keeps up
const FINAL = new Set([1008, 1009]); // the service refuses what we ask; asking again is of no use

export class Stream {
  private socket: WebSocket | null = null;
  private open = false;
  private closed = false;
  private ending = false;
  private tries = 0;
  private timer = 0;
  private base = 0;
  private refused: Problem | null = null;
  private waiting: { pcm: Int16Array<ArrayBuffer>; second: number }[] = [];
  private readonly asked: { style: StyleSpec; transition: number }[] = [];

  constructor(
    private readonly url: () => string,
    private readonly rate: number,
    private readonly model: string,
    private style_: StyleSpec,
    private readonly events: StreamEvents,
  ) {
    this.connect();
  }

  /** Send sound; `second`: when it began, since the first. */
  push(pcm: Int16Array<ArrayBuffer>, second: number): void {
    if (!this.open) {
      this.waiting.push({ pcm, second });
      while (second - this.waiting[0].second > KEPT) this.waiting.shift();
      return;
    }
    if (Number.isNaN(this.base)) this.base = second;
    if ((this.socket?.bufferedAmount ?? 0) > UNSENT) this.socket?.close(4000, "slow network");
    else this.socket?.send(pcm);
  }

  /** Change the style from now on. */
  style(style: StyleSpec, transition: number): void {
    this.style_ = style;
    if (!this.open) return; // the next connection begins with it
    this.asked.push({ style, transition });
    this.send({ type: "style", style, transition });
  }

  /** Say that no more sound comes; `ended` follows. */
  end(): void {
    this.ending = true;
    if (this.open) this.send({ type: "end" });
    else this.finish();
  }

  close(): void {
    this.closed = true;
    this.open = false;
    clearTimeout(this.timer);
    this.socket?.close(1000);
  }

  private finish(): void {
    if (this.closed) return;
    this.close();
    this.events.ended();
  }

  private send(message: Message): void {
    this.socket?.send(JSON.stringify(message));
  }

  private connect(): void {
    const socket = new WebSocket(this.url());
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.refused = null;
    this.asked.length = 0;
    socket.onopen = () => {
      const style = this.style_;
      this.send({
        type: "configure", rate: this.rate, coding: "pcm16", output: "binary", style,
        ...(this.model ? { model: this.model } : {}),
      }); // prettier-ignore
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (typeof event.data !== "string") this.frames(event.data);
      else this.told(JSON.parse(event.data) as Message);
    };
    socket.onclose = (event) => this.lost(event);
  }

  private told(message: Message): void {
    const number = (name: string): number => Number(message[name]);
    if (message.type === "configured") this.begin(message as unknown as Configured);
    else if (message.type === "first_frame") this.events.firstFrame(number("latency"));
    else if (message.type === "style_changed") {
      const asked = this.asked.shift();
      if (asked) this.events.styleChanged(asked.style, this.base + number("at"), number("transition"));
    } else if (message.type === "ended") this.finish();
    else if (message.type === "problem") {
      this.refused = Problem.from(message.problem, 0, Number(message.retry_after) || 0);
      if (this.asked.shift()) this.events.problem(this.refused, 0);
    }
  }

  private begin(told: Configured): void {
    this.open = true;
    this.tries = 0;
    this.events.configured(told);
    const [first] = this.waiting;
    this.base = first?.second ?? NaN; // NaN: the next piece's
    for (const { pcm } of this.waiting) this.socket?.send(pcm);
    this.waiting = [];
    if (this.ending) this.send({ type: "end" });
  }

  private frames(data: ArrayBuffer): void {
    const [, , count, channels] = new Uint32Array(data, 0, 4);
    const rows = new Float32Array(data, HEAD_BYTES);
    for (let k = 0; k < count; k++) {
      const at = k * (channels + 1);
      this.events.frame(this.base + rows[at], rows.slice(at + 1, at + 1 + channels));
    }
    this.events.arrived();
  }

  private lost(event: CloseEvent): void {
    this.open = false;
    if (this.closed) return;
    const problem = this.refused ?? new Problem("away", "The connection is gone", "");
    if (this.ending) {
      this.finish();
    } else if (FINAL.has(event.code)) {
      this.closed = true;
      this.events.problem(problem, null);
    } else {
      const wait = Math.max(problem.retryAfter, Math.min(LONGEST_WAIT, 0.4 * 2 ** this.tries++));
      this.events.problem(problem, wait);
      this.timer = window.setTimeout(() => this.connect(), wait * 1000);
    }
  }
}
