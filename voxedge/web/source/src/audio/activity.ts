/** Which frames of a clip are active, by their energy: as voxedge/audio/activity.py. */
import { variance } from "./downmix";

export const LOW_ENERGY_RMS = 1e-4;

const FRAMES_PER_SECOND = 50;
const LOUDEST = 15; // frames that may be louder than the reference
const FLOOR_PERCENTILE = 15;
const ABOVE_FLOOR = 10; // dB
const RANGE = 40; // dB below the reference
const SURE_RANGE = 10; // dB

export interface Span {
  start: number;
  end: number;
}

export class Activity {
  private readonly before: Int32Array; // active frames before each frame

  private constructor(
    readonly frame: number, // samples of one
    readonly active: Uint8Array,
  ) {
    this.before = new Int32Array(active.length + 1);
    for (let i = 0; i < active.length; i++) this.before[i + 1] = this.before[i] + active[i];
  }

  /** The active frames of samples; in silence there are none. */
  static of(samples: Float32Array, rate: number): Activity {
    const frame = frameSize(rate);
    const levels = Float64Array.from({ length: Math.floor(samples.length / frame) }, (_, i) =>
      10 * Math.log10(variance(samples.subarray(i * frame, (i + 1) * frame)) + 1e-20),
    );
    const least = threshold(levels);
    return new Activity(frame, Uint8Array.from(levels, (level) => +(level >= least)));
  }

  /** The frames whose middle is within one of the spans, in seconds. */
  static within(spans: Span[], samples: number, rate: number): Activity {
    const frame = frameSize(rate);
    const active = new Uint8Array(Math.floor(samples / frame));
    for (let i = 0; i < active.length; i++) {
      const middle = ((i + 0.5) * frame) / rate;
      active[i] = +spans.some((span) => span.start <= middle && middle < span.end);
    }
    return new Activity(frame, active);
  }

  /** How many frames are active between two samples. */
  count(start: number, stop: number): number {
    const last = this.active.length;
    const first = Math.min(Math.floor(start / this.frame), last);
    return this.before[Math.min(Math.floor(stop / this.frame), last)] - this.before[first];
  }

  /** The first active sample, and the one after the last; null in silence. */
  span(): Span | null {
    const first = this.active.indexOf(1);
    if (first < 0) return null;
    return { start: first * this.frame, end: (this.active.lastIndexOf(1) + 1) * this.frame };
  }

  /** The samples of the active frames, one after the other. */
  frames(samples: Float32Array): Float32Array {
    const found = new Float32Array(this.before[this.active.length] * this.frame);
    let at = 0;
    this.active.forEach((active, i) => {
      if (!active) return;
      found.set(samples.subarray(i * this.frame, (i + 1) * this.frame), at);
      at += this.frame;
    });
    return found;
  }
}

/** The mean of squares. */
export function power(samples: Float32Array): number {
  let sum = 0;
  for (const value of samples) sum += value * value;
  return samples.length ? sum / samples.length : 0;
}

/** A quantile, linear between the two nearest values. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

function frameSize(rate: number): number {
  return Math.max(1, Math.floor(rate / FRAMES_PER_SECOND));
}

/** The level in dB from which on frames are active. */
function threshold(levels: Float64Array): number {
  const lowest = 20 * Math.log10(LOW_ENERGY_RMS);
  const inaudible = Array.from(levels, (level) => level < lowest);
  if (inaudible.every(Boolean)) return lowest;
  const muted = longRuns(inaudible, FRAMES_PER_SECOND);
  const heard = levels.filter((_, i) => !muted[i]).sort();
  const reference = heard[heard.length - Math.min(LOUDEST + 1, heard.length)];
  const floor = quantile(heard, FLOOR_PERCENTILE / 100);
  const aboveFloor = Math.min(floor + ABOVE_FLOOR, reference - SURE_RANGE);
  return Math.max(lowest, reference - RANGE, aboveFloor);
}

/** Which flags belong to a run of at least `length` that are set. */
function longRuns(flags: boolean[], length: number): boolean[] {
  const found = flags.map(() => false);
  let start = 0;
  for (let i = 0; i <= flags.length; i++) {
    if (flags[i]) continue;
    if (i - start >= length) found.fill(true, start, i);
    start = i + 1;
  }
  return found;
}
