/** Elements of the page: found, and made. */
import { parts } from "../errors";

/** The element of an id. */
export function $<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** A new element: its class, and what is in it. Text is text, never markup. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  ...content: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** A button that does something. */
export function button(text: string, className: string, act: () => void): HTMLButtonElement {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

/** An error as it is shown: what was found, and what to do. */
export function errorView(error: unknown): HTMLElement {
  const { message, hint } = parts(error);
  return make("p", "error", make("strong", "", message), hint ? ` ${hint}` : "");
}

/** Show an error above all else; null: there is none any more. */
export function notice(error: unknown): void {
  $("notice").replaceChildren(...(error === null ? [] : [errorView(error)]));
}

/** Let a screen reader say something. */
export function say(text: string): void {
  if ($("said").textContent !== text) $("said").textContent = text;
}

/** Let the user save bytes as a file. */
export function save(name: string, blob: Blob): void {
  const link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
