/** Mix channels to mono: their mean, unless they cancel each other (voxedge/audio/downmix.py). */

const BLOCK = 1 << 16; // samples of a block, over all channels
const LEAST_SHARE = 0.25; // of the power of independent channels that their mean has
const MUCH = 2; // times the power
const FRAMES = 2_000; // of a block that are enough to see its power
const AUDIBLE = 1e-12; // power
const STEP = 16_000; // Hz: differences at this rate weaken hum

/** Mono samples of channels of one length. */
export function downmix(channels: Float32Array[], rate: number): Float32Array {
  if (channels.length === 1) return channels[0];
  const length = channels[0].length;
  const mono = new Float32Array(length);
  const power = channels.map(() => 0);
  const step = Math.max(1, Math.floor(rate / STEP));
  const size = Math.max(1, Math.floor(BLOCK / channels.length));
  let chosen = -1;
  for (let start = 0; start < length; start += size) {
    const block = channels.map((channel) => channel.subarray(start, start + size));
    const out = mono.subarray(start, start + size);
    if (!cancel(block, step)) {
      mean(block, out);
      continue;
    }
    block.forEach((channel, c) => (power[c] += variance(channel)));
    const strongest = power.indexOf(Math.max(...power));
    if (chosen < 0 || power[strongest] > MUCH * power[chosen]) chosen = strongest;
    out.set(block[chosen]);
  }
  return mono;
}

function mean(block: Float32Array[], out: Float32Array): void {
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (const channel of block) sum += channel[i];
    out[i] = sum / block.length;
  }
}

function cancel(block: Float32Array[], step: number): boolean {
  const length = block[0].length;
  const every = Math.max(1, Math.floor(length / FRAMES)) | 1; // no multiple of a period
  if (length <= step) return false;
  const count = Math.ceil((length - step) / every);
  const sooner = block.map((c) => Float32Array.from({ length: count }, (_, i) => c[i * every]));
  const change = block.map((c) =>
    Float32Array.from({ length: count }, (_, i) => c[i * every + step] - c[i * every]),
  );
  return isLostInMean(sooner) || isLostInMean(change);
}

function isLostInMean(channels: Float32Array[]): boolean {
  const each = channels.reduce((sum, c) => sum + variance(c), 0) / channels.length;
  const mixed = new Float32Array(channels[0].length);
  mean(channels, mixed);
  return each > AUDIBLE && variance(mixed) < (LEAST_SHARE * each) / channels.length;
}

/** The variance of samples. */
export function variance(samples: Float32Array): number {
  let sum = 0;
  for (const value of samples) sum += value;
  const centre = sum / samples.length;
  let squares = 0;
  for (const value of samples) squares += (value - centre) ** 2;
  return samples.length ? squares / samples.length : 0;
}
