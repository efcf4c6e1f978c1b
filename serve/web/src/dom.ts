/** The page's elements by id, typed. */

export function byId<T extends Element>(id: string, kind: { new (): T }): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** Say something at its place; empty: nothing to say. */
export function tell(id: string, text: string, wrong = false): void {
  const place = byId(id, HTMLElement);
  place.textContent = text;
  place.classList.toggle("wrong", wrong);
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Let files be dropped on an element, which is marked while one hangs over it. */
export function takesFiles(element: HTMLElement, take: (file: File) => void): void {
  const mark = (on: boolean): void => void element.classList.toggle("dropping", on);
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget as Node | null)) mark(false);
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  });
}
