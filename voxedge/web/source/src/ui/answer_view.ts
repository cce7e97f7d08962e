/** An answer as people see it: a name, bars, and why nobody is named. */
import type { Answer, Part } from "../answer";
import { make } from "./dom";

export const NOBODY = "Nobody I know";

/** The headline of an answer. */
export function headline(answer: Answer): string {
  if (answer.speaker !== null) return answer.speaker;
  if (answer.reason === "no_speech") return "No speech";
  if (answer.reason === "too_little_speech") return "Too little speech";
  if (answer.reason === "nobody_enrolled") return "Nobody is enrolled yet";
  if (answer.reason === "no_threshold") return "Not named";
  return NOBODY;
}

/** Headline, reason, and bars, which may be folded away. */
export function answerView(answer: Answer, folded = false): HTMLElement {
  const view = make("div", "answer", make("h3", "", headline(answer)));
  const why = reason(answer);
  if (why) view.append(make("p", "why", why));
  if (!answer.guesses.length) return view;
  view.append(folded ? make("details", "", make("summary", "", "The best five"), bars(answer)) : bars(answer));
  return view;
}

/** The answer for a clip in which several people take turns: all of it as one voice says little. */
export function turnsView(parts: Part[], answer: Answer): HTMLElement | null {
  const seconds = new Map<string | null, number>();
  for (const { start, end, speaker } of parts)
    seconds.set(speaker, (seconds.get(speaker) ?? 0) + end - start);
  const named = [...seconds.keys()].filter((name) => name !== null);
  if (named.length < 2) return null;
  const names = named.sort((a, b) => (seconds.get(b) ?? 0) - (seconds.get(a) ?? 0));
  const whole = make("details", "", make("summary", "", "Taken as one voice"), answerView(answer));
  return make("div", "", make("h3", "", names.join(", ")), whole);
}

/** For a screen reader: one sentence. */
export function sentence(answer: Answer): string {
  const best = answer.guesses[0];
  return answer.speaker === null ? headline(answer) : `${answer.speaker}, ${figure(answer, best.value)}`;
}

function reason(answer: Answer): string {
  const percent = (value: number) => `${Math.round(100 * value)} %`;
  switch (answer.reason) {
    case "no_speech":
      return "Silence, noise or music. Speak nearer to the microphone, or choose another clip.";
    case "too_little_speech":
      return `${answer.speechSeconds.toFixed(2)} s of speech; at least 0.25 s are needed.`;
    case "nobody_enrolled":
      return "Use this clip for enrolment, and give it a name.";
    case "no_threshold":
      return "For this model file no threshold is known. The nearest:";
    case "unknown":
      return answer.names === "people"
        ? `Nobody reaches a cosine of ${answer.least?.toFixed(2)}. The nearest:`
        : `One of the speakers with ${percent(answer.known ?? 0)} probability; at least ` +
            `${percent(answer.least ?? 0)} are needed. The nearest:`;
    default:
      return "";
  }
}

function bars(answer: Answer): HTMLElement {
  const list = make("ul", "bars");
  answer.guesses.forEach(({ name, value }, i) => {
    const best = i === 0 && answer.speaker !== null;
    list.append(row(name, value, figure(answer, value), best ? "best" : ""));
  });
  if (answer.known !== null) {
    const value = 1 - answer.known;
    const text = `${(100 * value).toFixed(1)} %`;
    list.append(row(NOBODY, value, text, answer.reason === "unknown" ? "nobody best" : "nobody"));
  }
  return list;
}

function row(name: string, value: number, text: string, className: string): HTMLElement {
  const bar = make("span", "bar");
  bar.style.setProperty("--value", String(Math.max(0, Math.min(1, value))));
  bar.setAttribute("aria-hidden", "true");
  return make("li", className, make("span", "name", name), bar, make("span", "figure", text));
}

function figure({ names }: Answer, value: number): string {
  return names === "people" ? `cos ${value.toFixed(2)}` : `${(100 * value).toFixed(1)} %`;
}
