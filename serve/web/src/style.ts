/** The style panel: words, or two of them mixed, and how much of it. */

import type { Mixed, StyleSpec } from "./api";
import { byId } from "./dom";

export const EXAMPLES = [
  "a shy smile, eyes lowered",
  "barely holding back tears",
  "cold rage behind clenched teeth",
  "a smug little grin with one raised eyebrow",
  "wide-eyed terror",
  "weary sarcasm",
];

const TYPED = 450; // ms of rest after which what was typed is taken
const SLID = 120;
const TOLD = 5; // of the phrases that say what a face does

export class StylePanel {
  private readonly first = byId("prompt", HTMLTextAreaElement);
  private readonly second = byId("prompt-b", HTMLTextAreaElement);
  private readonly balance = byId("balance", HTMLInputElement);
  private readonly intensity = byId("intensity", HTMLInputElement);
  private readonly transition = byId("transition", HTMLInputElement);
  private readonly reading = byId("reading", HTMLElement);
  private aimed = this.first;
  private timer = 0;
  private last = "";

  /** Called when another style is wanted. */
  onchange: () => void = () => undefined;

  constructor() {
    for (const field of [this.first, this.second]) {
      field.addEventListener("focus", () => (this.aimed = field));
      field.addEventListener("input", () => this.later(TYPED));
      field.addEventListener("change", () => this.later(0));
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey) return;
        event.preventDefault();
        this.later(0);
      });
    }
    for (const slider of [this.balance, this.intensity, this.transition]) {
      slider.addEventListener("input", () => {
        this.label();
        if (slider !== this.transition) this.later(SLID);
      });
    }
    for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=how]")) {
      radio.addEventListener("change", () => {
        byId("mix", HTMLElement).hidden = !this.mixes;
        if (!this.mixes) this.aimed = this.first;
        this.later(0);
      });
    }
    byId("examples", HTMLElement).append(...EXAMPLES.map((text) => this.example(text)));
    this.label();
  }

  /** What the service is asked for. */
  get spec(): StyleSpec {
    const intensity = Number(this.intensity.value);
    if (!this.mixes) return { ...named(this.first.value), intensity };
    const share = Number(this.balance.value);
    const mix: Mixed[] = [
      { ...named(this.first.value), share: 1 - share },
      { ...named(this.second.value), share },
    ];
    return { mix, intensity };
  }

  /** Seconds that a change of style takes while somebody speaks. */
  get seconds(): number {
    return Number(this.transition.value);
  }

  /** Take words over, such as those of a demo line; who calls knows of the change. */
  set(prompt: string, intensity: number): void {
    byId("how-one", HTMLInputElement).checked = true;
    byId("mix", HTMLElement).hidden = true;
    this.first.value = prompt;
    this.intensity.value = String(intensity);
    this.label();
    this.last = JSON.stringify(this.spec);
  }

  /** Say in words what the face does. */
  read(phrases: string | string[]): void {
    const all = [phrases].flat().flatMap((phrase) => phrase.split(", "));
    const more = all.length > TOLD ? ` and ${all.length - TOLD} more` : "";
    this.reading.textContent = all.slice(0, TOLD).join(", ") + more || "a face at rest";
  }

  private get mixes(): boolean {
    return byId("how-mix", HTMLInputElement).checked;
  }

  private label(): void {
    const share = Math.round(100 * Number(this.balance.value));
    byId("balance-out", HTMLOutputElement).value = `${100 - share} : ${share}`;
    byId("intensity-out", HTMLOutputElement).value = Number(this.intensity.value).toFixed(2);
    byId("transition-out", HTMLOutputElement).value = `${Number(this.transition.value).toFixed(1)} s`;
    for (const slider of [this.balance, this.intensity, this.transition]) {
      slider.style.setProperty("--at", String((Number(slider.value) - Number(slider.min)) / (Number(slider.max) - Number(slider.min))));
    }
  }

  private example(text: string): HTMLLIElement {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => {
      this.aimed.value = text;
      this.later(0);
    });
    item.append(button);
    return item;
  }

  private later(wait: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      const spec = JSON.stringify(this.spec);
      if (spec === this.last) return;
      this.last = spec;
      this.onchange();
    }, wait);
  }
}

function named(words: string): { prompt: string } | { emotion: string } {
  return words.trim() ? { prompt: words.trim() } : { emotion: "neutral" };
}
