/** Convert the rate of a clip that arrives in blocks: a windowed sinc, as sharp as soxr's.
 *
 *  soxr is what `voxedge identify` uses; its high quality passes 91.3 % of the band. Kaiser and
 *  Schafer 1980, "On the use of the I0-sinh window for spectrum analysis": length and shape. */

const PASSBAND = 0.913; // of the band of the lower rate
const ATTENUATION = 125; // dB

export class Resampler {
  private readonly up: number; // the result has so many samples ...
  private readonly down: number; // ... for so many of the source
  private readonly half: number; // samples of the source on either side
  private readonly cutoff: number; // cycles for each sample of the source
  private readonly beta = 0.1102 * (ATTENUATION - 8.7);
  private readonly taps = new Map<number, Float32Array>();
  private held: Float32Array;
  private first: number; // which sample of the source `held` begins with
  private heard = 0;
  private made = 0;

  constructor(
    private readonly rate: number,
    private readonly wanted: number,
  ) {
    const common = divisor(rate, wanted);
    this.up = wanted / common;
    this.down = rate / common;
    const band = Math.min(rate, wanted) / 2 / rate;
    const width = (1 - PASSBAND) * band;
    this.half = Math.ceil((ATTENUATION - 8) / (2.285 * 2 * Math.PI * width) / 2);
    this.cutoff = ((1 + PASSBAND) / 2) * band;
    this.held = new Float32Array(this.half);
    this.first = -this.half;
  }

  /** Resample the next block; `last` also gives what the filter still holds. */
  feed(block: Float32Array, last = false): Float32Array {
    if (this.rate === this.wanted) return block;
    this.heard += block.length;
    const tail = last ? this.half + 1 : 0;
    const source = new Float32Array(this.held.length + block.length + tail);
    source.set(this.held);
    source.set(block, this.held.length);
    const end = last
      ? Math.round((this.heard * this.wanted) / this.rate)
      : Math.max(this.made, Math.floor(((this.heard - this.half - 1) * this.up) / this.down));
    const out = new Float32Array(end - this.made);
    for (let i = 0; i < out.length; i++) out[i] = this.at(source, this.made + i);
    this.made = end;
    const next = Math.floor((end * this.down) / this.up) - this.half;
    const drop = Math.max(0, Math.min(next - this.first, source.length));
    this.held = source.slice(drop);
    this.first += drop;
    return out;
  }

  private at(source: Float32Array, number: number): number {
    const time = number * this.down;
    const base = Math.floor(time / this.up) - this.half + 1 - this.first;
    const taps = this.phase(time % this.up);
    let sum = 0;
    for (let k = 0; k < taps.length; k++) sum += taps[k] * source[base + k];
    return sum;
  }

  private phase(number: number): Float32Array {
    const known = this.taps.get(number);
    if (known) return known;
    const taps = Float32Array.from({ length: 2 * this.half }, (_, k) => {
      const time = k - this.half + 1 - number / this.up;
      return 2 * this.cutoff * sinc(2 * this.cutoff * time) * this.window(time);
    });
    this.taps.set(number, taps);
    return taps;
  }

  private window(time: number): number {
    const place = time / this.half;
    return Math.abs(place) > 1 ? 0 : bessel(this.beta * Math.sqrt(1 - place ** 2)) / bessel(this.beta);
  }
}

/** A whole clip at another rate; its offset is put aside, at whose ends the filter would ring. */
export function resample(samples: Float32Array, rate: number, wanted: number): Float32Array {
  if (rate === wanted || !samples.length) return samples;
  const offset = samples.reduce((sum, value) => sum + value, 0) / samples.length;
  const centred = samples.map((value) => value - offset);
  return new Resampler(rate, wanted).feed(centred, true).map((value) => value + offset);
}

function divisor(a: number, b: number): number {
  return b ? divisor(b, a % b) : a;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function I0, by its series. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}
