/** Who speaks when, as a strip, and as a table for whoever cannot see it. */
import type { Part } from "../answer";
import { NOBODY } from "./answer_view";
import { make } from "./dom";

const COLOURS = 6; // beyond them they come again

/** The strip, its legend, and its table. */
export function stripView(parts: Part[], seconds: number): HTMLElement {
  const names = [...new Set(parts.map(({ speaker }) => speaker))];
  const known = names.filter((name) => name !== null);
  const colour = (speaker: string | null) =>
    speaker === null ? "var(--nobody)" : `var(--part-${known.indexOf(speaker) % COLOURS})`;
  const strip = make("div", "strip");
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", `Who speaks when: ${names.map((n) => n ?? NOBODY).join(", ")}`);
  for (const { start, end, speaker } of parts) {
    const piece = make("span");
    piece.style.setProperty("--left", `${(100 * start) / seconds}%`);
    piece.style.setProperty("--width", `${(100 * (end - start)) / seconds}%`);
    piece.style.setProperty("--colour", colour(speaker));
    piece.title = `${clock(start)} – ${clock(end)} ${speaker ?? NOBODY}`;
    strip.append(piece);
  }
  const legend = make("div", "legend");
  for (const name of names) {
    const swatch = make("i");
    swatch.style.setProperty("--colour", colour(name));
    legend.append(make("span", "", swatch, name ?? NOBODY));
  }
  const ends = make("div", "ends", make("span", "", "0:00"), make("span", "", clock(seconds)));
  return make("div", "", strip, ends, legend, table(parts));
}

function table(parts: Part[]): HTMLElement {
  const head = make("tr", "", ...["From", "To", "Who"].map((text) => make("th", "", text)));
  const rows = parts.map(({ start, end, speaker }) =>
    make("tr", "", ...[clock(start), clock(end), speaker ?? NOBODY].map((t) => make("td", "", t))),
  );
  const body = make("table", "", make("thead", "", head), make("tbody", "", ...rows));
  return make("details", "", make("summary", "", "As a table"), body);
}

function clock(seconds: number): string {
  const tenths = Math.round(10 * seconds);
  const rest = ((tenths % 600) / 10).toFixed(tenths % 10 ? 1 : 0);
  return `${Math.floor(tenths / 600)}:${rest.padStart(rest.includes(".") ? 4 : 2, "0")}`;
}
