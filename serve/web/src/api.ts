/** The service over HTTP: every answer typed, every failure a Problem in words. */

export interface Mixed {
  prompt?: string;
  emotion?: string;
  share: number;
}

export interface StyleSpec {
  prompt?: string;
  emotion?: string;
  mix?: Mixed[];
  intensity?: number;
}

export interface TimedStyle extends StyleSpec {
  at: number;
  transition?: number;
}

export interface Rig {
  names: string[];
  regions: Record<string, string[]>;
}

export interface Models {
  models: { id: string; look_ahead: number }[];
  default: string;
}

export interface StyleFace {
  phrases: string | string[];
  weights: Record<string, number>;
  strength: number;
}

export interface AnimationReply {
  names: string[];
  fps: number;
  frames: number;
  weights: number[][];
}

export interface DemoLine {
  id: string;
  prompt: string;
  intensity: number;
  words: string;
}

export interface AnimateOptions {
  style: StyleSpec | TimedStyle[];
  format: string;
  fps: number;
  model: string;
}

/** Why the service refused, or that it cannot be reached (`kind` "away"). */
export class Problem extends Error {
  constructor(
    readonly kind: string,
    readonly title: string,
    readonly detail: string,
    readonly retryAfter = 0,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  /** From the members of an `application/problem+json` body; anything else is told as best it can be. */
  static from(body: unknown, status: number, retryAfter: number): Problem {
    const said = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
    const kind = String(said.type ?? "").replace("urn:expclip:", "") || (status === 503 ? "overloaded" : "unknown");
    const title = String(said.title ?? (status >= 500 ? "The service is not able to answer now" : "Refused"));
    return new Problem(kind, title, String(said.detail ?? `status ${status}`), retryAfter);
  }
}

const KEY = "expclip.key";

export class Api {
  get key(): string {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set key(value: string) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  }

  /** The websocket's address; browsers send no headers with it, so that the key goes into the query. */
  get streamUrl(): string {
    const url = new URL("v1/stream", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.key) url.searchParams.set("api_key", this.key);
    return url.href;
  }

  async rig(): Promise<Rig> {
    return (await this.ask("v1/rig")).json();
  }

  async models(): Promise<Models> {
    return (await this.ask("v1/models")).json();
  }

  async style(style: StyleSpec, model: string, signal: AbortSignal): Promise<StyleFace> {
    const body = JSON.stringify(model ? { style, model } : { style });
    const headers = { "content-type": "application/json" };
    return (await this.ask("v1/style", { method: "POST", body, headers, signal })).json();
  }

  /** The animation of a sound in any format; `signal` gives it up. */
  async animate(sound: Blob, options: AnimateOptions, signal?: AbortSignal): Promise<Response> {
    const body = new FormData();
    body.set("audio", sound, "audio");
    body.set("style", JSON.stringify(options.style));
    body.set("format", options.format);
    body.set("fps", String(options.fps));
    if (options.model) body.set("model", options.model);
    return this.ask("v1/animate", signal ? { method: "POST", body, signal } : { method: "POST", body });
  }

  async head(): Promise<ArrayBuffer> {
    return (await this.ask("v1/head.glb")).arrayBuffer();
  }

  async demo(): Promise<DemoLine[]> {
    return (await this.ask("v1/demo")).json();
  }

  async demoSound(id: string): Promise<Blob> {
    return (await this.ask(`v1/demo/${encodeURIComponent(id)}`)).blob();
  }

  async alive(): Promise<boolean> {
    return this.ask("healthz").then(
      () => true,
      () => false,
    );
  }

  private async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.key) headers.set("authorization", `Bearer ${this.key}`);
    let answer: Response;
    try {
      answer = await fetch(new URL(path, document.baseURI), { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Problem("away", "The service does not answer", "the page goes on as soon as it is back");
    }
    if (answer.ok) return answer;
    const body: unknown = await answer.json().catch(() => null);
    throw Problem.from(body, answer.status, Number(answer.headers.get("retry-after")) || 0);
  }
}
