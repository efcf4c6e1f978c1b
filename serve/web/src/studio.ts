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

  constructor(
    private readonly api: Api,
    private readonly clock: Clock,
    private readonly player: Player,
    private readonly style: StylePanel,
    private readonly names: readonly string[],
  ) {}

  /** The style or the model is another: show it on the face, and in the line or the speech there is. */
  async restyle(): Promise<void> {
    const { spec } = this.style;
    tell("style-told", "");
    if (this.sound) this.sound.track = null;
    this.live?.change(spec, this.style.seconds);
    await this.refresh(spec);
  }

  /** Take a sound and play it as soon as it has a face. */
  async take(name: string, file: Blob, track: TimedStyle[] | null = null): Promise<void> {
    this.live?.stop();
    tell("sound-told", "Reading …");
    const heard = await this.clock.context.decodeAudioData(await file.arrayBuffer()).catch(() => null);
    this.sound = { name, file, heard, track };
    byId("relive", HTMLButtonElement).disabled = !heard;
    if (await this.refresh(this.style.spec, true)) {
      tell("sound-told", heard ? "" : "This browser cannot play the sound; the face moves in silence.", !heard);
      if (!track) await this.player.play();
    }
  }

  /** Begin or end live speech, of the microphone or of the file. */
  async toggleLive(fromFile: boolean): Promise<void> {
    if (this.live) return this.live.stop();
    const heard = fromFile ? (this.sound?.heard ?? null) : null;
    if (fromFile && !heard) return;
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

  /** Ask again for what the key or the service's absence kept back. */
  async refresh(spec: StyleSpec = this.style.spec, isNew = false): Promise<boolean> {
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    try {
      const face = await this.api.style(spec, this.model, signal);
      this.style.read(face.phrases);
      this.player.rest(face.weights);
      if (this.sound && !this.live) await this.animate(this.sound, spec, isNew, signal);
      this.reached();
      return true;
    } catch (error) {
      if (!signal.aborted) this.failed(error, "style-told", () => void this.refresh(this.style.spec, isNew));
      return false;
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

  private async animate(sound: Sound, spec: StyleSpec, isNew: boolean, signal: AbortSignal): Promise<void> {
    if (isNew) tell("sound-told", "Animating …");
    const options = { style: sound.track ?? spec, format: "json", fps: FPS, model: this.model };
    const answer = await this.api.animate(sound.file, options, signal);
    const reply = (await answer.json()) as AnimationReply;
    if (sound !== this.sound || this.live) return;
    this.player.load(Line.fromReply(this.names, reply), sound.heard, sound.name, !isNew);
    tell("sound-told", "");
    for (const button of downloads()) button.disabled = false;
  }

  private async liveEnded(take: Take | null, fromFile: boolean): Promise<void> {
    const told = byId("sound-told", HTMLElement);
    const wrong = told.classList.contains("wrong") ? (told.textContent ?? "") : "";
    this.live = null;
    this.player.follow(null);
    this.labelLive(fromFile);
    const name = fromFile ? `${this.sound?.name ?? "file"}, live` : `take ${(this.takes += 1)}`;
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
