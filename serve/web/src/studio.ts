/** What the page does: styles are asked for, sounds animated, live speech followed, results downloaded. */

import { type Api, type AnimationReply, Problem, type StyleSpec, type TimedStyle } from "./api";
import type { Clock } from "./clock";
import { byId, tell, wordsOf } from "./dom";
import { Line } from "./line";
import { Live, type Take } from "./live";
import type { Player } from "./player";
import type { StylePanel } from "./style";

interface Sound {
  name: string;
  file: Blob;
  heard: AudioBuffer | null;
  /** Of a live take: the styles as they changed. Otherwise the panel's style holds. */
  track: TimedStyle[] | null;
  /** Whether its line has been shown: the next one goes on at its place. */
  shown: boolean;
}

type Place = "style-told" | "sound-told" | "download-told";

const FPS = 30;
const LOOK_AGAIN = 1500; // ms
const ABOUT_SOUND = /sound|audio|file|container|truncated|body/i;
const GENTLE = new Set(["overloaded", "too-many", "timeout", "stopping"]);

export class Studio {
  private sound: Sound | null = null;
  private live: Live | null = null;
  private asking = new AbortController();
  private takes = 0;
  private away = false;
  private starting = false;
  private next: (() => void) | null = null; // what waits for live speech to end

  constructor(
    private readonly api: Api,
    private readonly clock: Clock,
    private readonly player: Player,
    private readonly style: StylePanel,
    private readonly names: readonly string[],
  ) {}

  /** The style or the model is another: show it on the face, and in the line or the speech there is. */
  async restyle(): Promise<void> {
    tell("style-told", "");
    if (this.sound) this.sound.track = null;
    this.live?.change(this.style.spec, this.style.seconds);
    await this.refresh();
  }

  /** Take a sound and play it as soon as it has a face; a take of live speech waits to be played. */
  async take(name: string, file: Blob, track: TimedStyle[] | null = null): Promise<void> {
    if (this.live) {
      this.next = () => void this.take(name, file, track);
      return this.live.stop();
    }
    tell("sound-told", "Reading …");
    const heard = await this.clock.context.decodeAudioData(await file.arrayBuffer()).catch(() => null);
    this.sound = { name, file, heard, track, shown: false };
    byId("relive", HTMLButtonElement).disabled = !heard;
    await this.refresh();
  }

  /** Begin or end live speech, of the microphone or of the file. */
  async toggleLive(fromFile: boolean): Promise<void> {
    if (this.live) return this.live.stop();
    if (this.starting) return;
    const heard = fromFile ? (this.sound?.heard ?? null) : null;
    if (fromFile && !heard) return;
    this.starting = true;
    try {
      tell("sound-told", "");
      this.live = await Live.start(this.api, this.clock, this.names, this.model, this.style.spec, heard, {
        told: (text, problem) => {
          if (problem?.kind === "no-key") this.askForKey();
          tell("sound-told", text, problem !== null);
        },
        ended: (take) => void this.liveEnded(take, fromFile),
      });
      this.player.follow(this.live);
    } catch (error) {
      tell("sound-told", wordsOf(error), true);
    }
    this.starting = false;
    this.labelLive(fromFile);
  }

  async download(format: string): Promise<void> {
    if (!this.sound) return;
    tell("download-told", "Making it …");
    const { file, track, name } = this.sound;
    const fps = Number(byId("fps", HTMLSelectElement).value);
    try {
      const answer = await this.api.animate(file, { style: track ?? this.style.spec, format, fps, model: this.model });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = `${name.replace(/\.[^.]*$/, "").replace(/[^\w.-]+/g, "_")}.${format}`;
      link.click();
      window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      tell("download-told", `${link.download} is made.`);
    } catch (error) {
      this.failed(error, "download-told", () => void this.download(format));
    }
  }

  /** Ask for the face of the style, and for the line of the sound there is. */
  async refresh(): Promise<void> {
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    const { spec } = this.style;
    try {
      const face = await this.api.style(spec, this.model, signal);
      this.style.read(face.phrases);
      this.player.rest(face.weights);
      if (this.sound && !this.live) await this.animate(this.sound, spec, signal);
      this.reached();
    } catch (error) {
      if (!signal.aborted) this.failed(error, "style-told", () => void this.refresh());
    }
  }

  /** Tell at its place what went wrong; look for the service until it is back, then do it `again`. */
  failed(error: unknown, place: Place, again: () => void): void {
    tell(place, "");
    if (!(error instanceof Problem)) return tell(place, wordsOf(error), true);
    if (error.kind === "no-key") return this.askForKey();
    if (error.kind === "away") return this.waitForService(again);
    if (GENTLE.has(error.kind)) {
      const wait = error.retryAfter || 2;
      tell(place, `${error.message}. Trying again in ${wait} s …`, true);
      window.setTimeout(again, wait * 1000);
      return;
    }
    const sound = error.kind === "too-long" || error.kind === "too-large" || ABOUT_SOUND.test(error.detail);
    tell("sound-told", "");
    tell(place === "style-told" && sound ? "sound-told" : place, error.message, true);
  }

  waitForService(again: () => void): void {
    tell("service", "The service does not answer; waiting for it …", true);
    if (this.away) return;
    this.away = true;
    const look = async (): Promise<void> => {
      if (!(await this.api.alive())) {
        window.setTimeout(() => void look(), LOOK_AGAIN);
        return;
      }
      this.away = false;
      tell("service", "");
      again();
    };
    window.setTimeout(() => void look(), LOOK_AGAIN);
  }

  askForKey(): void {
    const place = byId("access", HTMLElement);
    if (this.api.key && !place.hidden) tell("key-told", "The service does not take this key.", true);
    place.hidden = false;
    byId("key", HTMLInputElement).focus();
  }

  private get model(): string {
    return byId("model", HTMLSelectElement).value;
  }

  private reached(): void {
    byId("access", HTMLElement).hidden = true;
    tell("service", "");
  }

  private async animate(sound: Sound, spec: StyleSpec, signal: AbortSignal): Promise<void> {
    if (!sound.shown) tell("sound-told", "Animating …");
    const options = { style: sound.track ?? spec, format: "json", fps: FPS, model: this.model };
    const answer = await this.api.animate(sound.file, options, signal);
    const reply = (await answer.json()) as AnimationReply;
    if (sound !== this.sound || this.live) return;
    this.player.load(Line.fromReply(this.names, reply), sound.heard, sound.name, sound.shown);
    tell("sound-told", sound.heard ? "" : "This browser cannot play the sound; the face moves in silence.", !sound.heard);
    for (const button of downloads()) button.disabled = false;
    if (!sound.shown && !sound.track) void this.player.play();
    sound.shown = true;
  }

  private async liveEnded(take: Take | null, fromFile: boolean): Promise<void> {
    const told = byId("sound-told", HTMLElement);
    const wrong = told.classList.contains("wrong") ? (told.textContent ?? "") : "";
    this.live = null;
    this.player.follow(null);
    this.labelLive(fromFile);
    const { next } = this;
    this.next = null;
    if (next) return next();
    const name = fromFile ? `${this.sound?.name.replace(/, live$/, "")}, live` : `take ${(this.takes += 1)}`;
    if (take) await this.take(name, take.sound, take.track);
    if (wrong) tell("sound-told", wrong, true);
  }

  private labelLive(fromFile: boolean): void {
    const on = this.live !== null;
    const mic = byId("mic", HTMLButtonElement);
    const relive = byId("relive", HTMLButtonElement);
    mic.setAttribute("aria-pressed", String(on && !fromFile));
    relive.setAttribute("aria-pressed", String(on && fromFile));
    mic.lastElementChild!.textContent = on && !fromFile ? "Stop" : "Speak live";
    relive.lastElementChild!.textContent = on && fromFile ? "Stop" : "Stream the file live";
    mic.disabled = on && fromFile;
    relive.disabled = (on && !fromFile) || !this.sound?.heard;
    byId("change", HTMLElement).hidden = !on;
    for (const button of downloads()) button.disabled = on || !this.sound;
    document.documentElement.dataset.live = String(on);
  }
}

export function downloads(): NodeListOf<HTMLButtonElement> {
  return document.querySelectorAll<HTMLButtonElement>("[data-format]");
}
