/** Dark or light: as the system is, or as was chosen. */

const KEY = "expclip.theme";
const NEXT: Record<string, string> = { auto: "light", light: "dark", dark: "auto" };

export function theme(button: HTMLButtonElement, changed: (dark: boolean) => void): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = localStorage.getItem(KEY) ?? "auto";
  const apply = (): void => {
    const dark = chosen === "auto" ? system.matches : chosen === "dark";
    document.documentElement.dataset.theme = chosen;
    const words = `Theme: ${chosen === "auto" ? "as the system" : chosen}`;
    button.title = words;
    button.setAttribute("aria-label", words);
    changed(dark);
  };
  button.addEventListener("click", () => {
    chosen = NEXT[chosen] ?? "auto";
    localStorage.setItem(KEY, chosen);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
