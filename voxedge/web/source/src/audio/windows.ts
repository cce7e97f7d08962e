/** The windows of a clip that count for its answer: as voxedge/audio/windows.py. */
import { Activity, LOW_ENERGY_RMS, type Span } from "./activity";
import { variance } from "./downmix";

const LONGEST_PAUSE = 1.0; // seconds, at an end of a clip that is cut into windows
const KEPT_PAUSE = 0.5; // seconds, of a longer one
const LEAST_ACTIVE = 0.5; // of the active frames of the window that has the most
const MOST_SPOKEN = 0.3; // of the active frames: with fewer in speech, most is something else

/** The first sample of each window: they overlap by half, and the last one ends with the clip. */
export function windowStarts(samples: number, window: number): number[] {
  if (samples <= window) return [0];
  const last = samples - window;
  const starts: number[] = [];
  for (let start = 0; start < last; start += Math.max(1, window >> 1)) starts.push(start);
  return [...starts, last];
}

/** The windows that count, as views; none of a silent clip. */
export function activeWindows(
  samples: Float32Array,
  window: number,
  rate: number,
  speech: Span[],
): Float32Array[] {
  const spoken = mostlyElse(samples, rate, speech);
  if (samples.length <= window && !spoken) return isLowEnergy(samples) ? [] : [samples];
  const activity = spoken ?? Activity.of(samples, rate);
  const { start, end } = withoutLongPauses(activity.span(), samples.length, rate);
  const spans = windowStarts(end - start, window)
    .map((first) => ({ start: start + first, end: Math.min(start + first + window, end) }))
    .filter((span) => !isLowEnergy(samples.subarray(span.start, span.end)));
  const active = spans.map((span) => activity.count(span.start, span.end));
  const least = LEAST_ACTIVE * Math.max(0, ...active);
  return spans
    .filter((_, i) => active[i] >= least)
    .map((span) => samples.subarray(span.start, span.end));
}

/** Whether samples hold nothing but silence, or a constant. */
export function isLowEnergy(samples: Float32Array): boolean {
  return Math.sqrt(variance(samples)) < LOW_ENERGY_RMS;
}

/** The frames of speech, if most of what stands out by its energy is something else. */
function mostlyElse(samples: Float32Array, rate: number, speech: Span[]): Activity | null {
  const loud = Activity.of(samples, rate).active;
  const spoken = Activity.within(speech, samples.length, rate);
  let both = 0;
  let all = 0;
  loud.forEach((flag, i) => {
    all += flag;
    both += flag & spoken.active[i];
  });
  return both < MOST_SPOKEN * all ? spoken : null;
}

function withoutLongPauses(active: Span | null, samples: number, rate: number): Span {
  if (!active) return { start: 0, end: samples };
  const longest = LONGEST_PAUSE * rate;
  const kept = Math.round(KEPT_PAUSE * rate);
  return {
    start: active.start > longest ? active.start - kept : 0,
    end: samples - active.end > longest ? active.end + kept : samples,
  };
}
