/** Who speaks when: windows of speech, and each moment named by those that hold it. */
import type { Part } from "./answer";
import type { Span } from "./audio/activity";
import { windowStarts } from "./audio/windows";
import type { Outputs } from "./model/session";
import { LEAST_SPEECH } from "./speech/segments";

export const PART = 2; // seconds of a window; two overlap by half

const JOINED = 0.3; // seconds: shorter pauses do not divide speech

/** The windows of the speech of a clip, in samples. */
export function turnWindows(segments: Span[], rate: number): Span[] {
  const stretches = joined(segments).filter(({ start, end }) => end - start >= LEAST_SPEECH);
  return stretches.flatMap(({ start, end }) => {
    const [first, last] = [Math.round(start * rate), Math.round(end * rate)];
    return windowStarts(last - first, PART * rate).map((at) => ({
      start: first + at,
      end: Math.min(first + at + PART * rate, last),
    }));
  });
}

/** Name each moment after the windows that hold it; neighbours of one name are one part. */
export function turns(
  spans: Span[],
  outputs: Outputs[],
  rate: number,
  name: (outputs: Outputs[]) => string | null,
): Part[] {
  const found: Part[] = [];
  const edges = [...new Set(spans.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  for (let i = 1; i < edges.length; i++) {
    const [start, end] = [edges[i - 1], edges[i]];
    const own = outputs.filter((_, n) => spans[n].start <= start && end <= spans[n].end);
    if (!own.length) continue;
    const speaker = name(own);
    const before = found[found.length - 1];
    if (before?.speaker === speaker && start / rate - before.end < 1e-6) before.end = end / rate;
    else found.push({ start: start / rate, end: end / rate, speaker });
  }
  return found;
}

/** Segments of speech, of which short pauses are part. */
function joined(segments: Span[]): Span[] {
  const found: Span[] = [];
  for (const { start, end } of segments) {
    const before = found[found.length - 1];
    if (before && start - before.end < JOINED) found[found.length - 1] = { start: before.start, end };
    else found.push({ start, end });
  }
  return found;
}
