/** Puts the page together; each part knows only its own. */

import { Api, type DemoLine, Problem, type Rig } from "./api";
import { Clock } from "./clock";
import { Curves } from "./curves";
import { byId, takesFiles, tell, wordsOf } from "./dom";
import { Face } from "./face";
import type { Fit } from "./names";
import { Player } from "./player";
import { downloads, Studio } from "./studio";
import { StylePanel } from "./style";
import { theme } from "./theme";

const REGIONS: Record<string, string> = { mouth: "mouth and jaw", upper: "brows, lids, cheeks", gaze: "gaze", other: "other" };
const AGAIN = 1500; // ms

const api = new Api();

/** What the page cannot begin without; waits for the service, and for a key where one is asked for. */
async function begin(): Promise<void> {
  byId("panel", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  for (;;) {
    try {
      const [rig, models, head] = await Promise.all([api.rig(), api.models(), api.head()]);
      tell("service", "");
      const select = byId("model", HTMLSelectElement);
      select.append(...models.models.map(({ id }) => new Option(id, id, id === models.default, id === models.default)));
      byId("models", HTMLElement).hidden = models.models.length < 2;
      return await build(rig, head);
    } catch (error) {
      await hindered(error);
    }
  }
}

async function hindered(error: unknown): Promise<void> {
  if (error instanceof Problem && error.kind === "no-key") {
    if (api.key) tell("key-told", "The service does not take this key.", true);
    byId("access", HTMLElement).hidden = false;
    byId("key", HTMLInputElement).focus();
    await new Promise<void>((go) => onKey(go));
    byId("access", HTMLElement).hidden = true;
    return;
  }
  if (!(error instanceof Problem)) byId("loading", HTMLElement).textContent = wordsOf(error);
  tell("service", wordsOf(error), true);
  await new Promise((go) => window.setTimeout(go, AGAIN));
}

function onKey(go: () => void): void {
  const field = byId("key", HTMLInputElement);
  const use = (): void => {
    api.key = field.value.trim();
    if (api.key) go();
  };
  byId("key-set", HTMLButtonElement).onclick = use;
  field.onkeydown = (event) => {
    if (event.key === "Enter") use();
  };
}

async function build(rig: Rig, head: ArrayBuffer): Promise<void> {
  const clock = new Clock();
  const face = new Face(byId("face", HTMLCanvasElement), rig.names);
  const region = byId("region", HTMLSelectElement);
  region.append(...Object.keys(rig.regions).map((name) => new Option(REGIONS[name] ?? name, name)));
  const graph = byId("graph", HTMLCanvasElement);
  const curves = new Curves(graph, byId("playhead", HTMLElement), byId("legend", HTMLElement), region, rig.names, rig.regions);
  theme(byId("theme", HTMLButtonElement), (dark) => {
    face.setDark(dark);
    curves.setDark(dark);
  });
  await face.load(head);
  byId("loading", HTMLElement).hidden = true;
  const style = new StylePanel();
  const player = new Player(clock, face, curves, rig.names);
  const studio = new Studio(api, clock, player, style, rig.names);
  style.onchange = () => void studio.restyle();
  byId("model", HTMLSelectElement).addEventListener("change", () => void studio.restyle());
  onKey(() => void studio.refresh());
  sounds(studio, style);
  heads(face, head);
  for (const button of downloads()) {
    button.addEventListener("click", () => void studio.download(button.dataset.format ?? "json"));
  }
  await studio.refresh();
  document.documentElement.dataset.ready = "true";
}

function sounds(studio: Studio, style: StylePanel): void {
  const input = byId("file", HTMLInputElement);
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    input.value = ""; // the same file may be chosen again
    if (file) void studio.take(file.name, file);
  });
  takesFiles(byId("drop", HTMLElement), (file) => void studio.take(file.name, file));
  byId("mic", HTMLButtonElement).addEventListener("click", () => void studio.toggleLive(false));
  byId("relive", HTMLButtonElement).addEventListener("click", () => void studio.toggleLive(true));
  void demos(studio, style);
}

async function demos(studio: Studio, style: StylePanel): Promise<void> {
  const lines: DemoLine[] = await api.demo().catch(() => []);
  const select = byId("demo", HTMLSelectElement);
  select.append(...lines.map(({ id, words }) => new Option(words, id)));
  byId("demos", HTMLElement).hidden = !lines.length;
  select.addEventListener("change", () => {
    const line = lines.find(({ id }) => id === select.value);
    if (line) void take(line);
  });
  const take = async (line: DemoLine): Promise<void> => {
    try {
      const sound = await api.demoSound(line.id);
      style.set(line.prompt, line.intensity);
      await studio.take(line.id, sound);
    } catch (error) {
      studio.failed(error, "sound-told", () => void take(line));
    }
  };
}

function heads(face: Face, ours: ArrayBuffer): void {
  const input = byId("model-file", HTMLInputElement);
  const back = byId("ours", HTMLButtonElement);
  const show = (fit: Fit | null): void => {
    const missing = fit?.missing ?? [];
    back.hidden = !fit;
    byId("missing", HTMLDetailsElement).hidden = !missing.length;
    byId("missing-names", HTMLElement).textContent = missing.join(", ");
    const all = fit ? new Set(fit.found.values()).size : 0;
    tell("head-told", fit ? `${all} of ${all + missing.length} channels found.` : "");
  };
  const load = async (file: File): Promise<void> => {
    try {
      show(await face.load(await file.arrayBuffer()));
    } catch (error) {
      tell("head-told", wordsOf(error), true);
    }
  };
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    input.value = "";
    if (file) void load(file);
  });
  back.addEventListener("click", () => void face.load(ours).then(() => show(null)));
  for (const id of ["stage", "head-drop"]) takesFiles(byId(id, HTMLElement), (file) => void load(file));
}

void begin();
