/** From probabilities of frames to segments of speech, and whether a clip has enough of it.
 *
 *  The rules and limits of voxedge/speech/segments.py and voxedge/speech/clip.py. */
import { Activity, power, type Span } from "../audio/activity";
import { resample } from "../audio/resample";
import { FRAME_SECONDS, SpeechDetector } from "./detector";
import { RATE, type Network } from "./network";

export const THRESHOLD = 0.5;
export const LEAST_SPEECH = 0.25; // seconds below which nobody is named

const HYSTERESIS = 0.15;
const PADDING = 0.03; // seconds
const LEVEL = -15; // dBFS, of what is active
const CLIP = { threshold: 0.25, minSpeech: 0.1, minPause: 0.1 };

interface Rules {
  threshold: number;
  minSpeech: number; // seconds; segments that are not longer are left out
  minPause: number; // seconds
}

/** The segments of speech of a whole clip. */
export function findSpeech(samples: Float32Array, rate: number, network: Network): Span[] {
  const active = Activity.of(samples, rate).frames(samples);
  if (!active.length) return [];
  const gain = Math.sqrt(10 ** (LEVEL / 10) / power(active));
  const heard = resample(
    samples.map((value) => value * gain),
    rate,
    RATE,
  );
  const detector = new SpeechDetector(network);
  const probabilities = [...detector.feed(heard), ...detector.finish()];
  const last = samples.length / rate; // the last frame may be longer than the clip
  return speechSegments(probabilities, CLIP).map(({ start, end }) => ({
    start,
    end: Math.min(end, last),
  }));
}

/** Seconds of speech in segments. */
export function speechSeconds(segments: Span[]): number {
  return segments.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** The segments of speech, in order, which do not overlap. */
export function speechSegments(probabilities: number[], rules: Rules): Span[] {
  const found = runs(probabilities, rules)
    .map(({ start, end }) => ({ start: start * FRAME_SECONDS, end: end * FRAME_SECONDS }))
    .filter(({ start, end }) => end - start > rules.minSpeech);
  const total = probabilities.length * FRAME_SECONDS;
  return found.map((run, i) => {
    const before = run.start - (found[i - 1]?.end ?? -Infinity);
    const after = (found[i + 1]?.start ?? Infinity) - run.end;
    return {
      start: Math.max(0, run.start - Math.min(PADDING, before / 2)),
      end: Math.min(total, run.end + Math.min(PADDING, after / 2)),
    };
  });
}

/** The first frame of each run of speech, and the one after its last. */
function runs(probabilities: number[], { threshold, minPause }: Rules): Span[] {
  const least = Math.max(threshold - HYSTERESIS, 0.01);
  const found: Span[] = [];
  let start: number | null = null;
  let pause: number | null = null;
  probabilities.forEach((probability, frame) => {
    if (probability >= threshold) {
      pause = null;
      start ??= frame;
    } else if (start !== null && probability < least) {
      pause ??= frame;
      if ((frame - pause) * FRAME_SECONDS >= minPause) {
        found.push({ start, end: pause });
        start = pause = null;
      }
    }
  });
  if (start !== null) found.push({ start, end: probabilities.length });
  return found;
}
