/** The network of Silero VAD: from frames of samples to probabilities of speech.
 *
 *  Silero VAD 6.2 (Silero Team 2025, MIT licence), computed as voxedge/speech/network.py does, from
 *  the same file of parameters; the spectra by a fast Fourier transform. */

export const RATE = 16_000; // Hz
export const FRAME = 512; // samples
export const CONTEXT = 64; // samples before a frame that the network also reads

const FFT = 256;
const HOP = 128;
const BINS = FFT / 2 + 1;
const UNITS = 128;
const SHAPES: [string, number][] = [
  ["conv1", 3 * BINS * 128],
  ["bias1", 128],
  ["conv2", 3 * 128 * 64],
  ["bias2", 64],
  ["conv3", 2 * 64 * 64],
  ["bias3", 64],
  ["conv4", 64 * 128],
  ["bias4", 128],
  ["input", 128 * 4 * UNITS],
  ["hidden", UNITS * 4 * UNITS],
  ["gates", 4 * UNITS],
  ["output", UNITS],
  ["offset", 1],
];

export class Network {
  private readonly of: Record<string, Float32Array> = {};
  private readonly window = Float32Array.from(
    { length: FFT },
    (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / FFT),
  );
  private readonly spectra = new Float32Array(4 * BINS);
  private readonly first = new Float32Array(4 * 128);
  private readonly second = new Float32Array(2 * 64);
  private readonly third = new Float32Array(64);
  private readonly fourth = new Float32Array(128);
  private readonly sums = new Float32Array(4 * UNITS);
  private readonly mirrored = new Float32Array(CONTEXT + FRAME + CONTEXT);

  /** @param parameters the bytes of `silero.npy`. */
  constructor(parameters: ArrayBuffer) {
    const values = readNpy(parameters);
    let at = 0;
    for (const [name, size] of SHAPES) {
      this.of[name] = values.subarray(at, at + size);
      at += size;
    }
    if (at !== values.length) throw new Error(`silero.npy has ${values.length} parameters`);
  }

  /** The probability of a frame [64 + 512], and `hidden` and `cell` [128] after it, in place. */
  next(frame: Float32Array, hidden: Float32Array, cell: Float32Array): number {
    const { sums } = this;
    this.encode(frame);
    sums.set(this.of.gates);
    add(this.fourth, this.of.input, sums);
    add(hidden, this.of.hidden, sums);
    let logit = this.of.offset[0];
    for (let u = 0; u < UNITS; u++) {
      const letIn = sigmoid(sums[u]);
      const keep = sigmoid(sums[UNITS + u]);
      const letOut = sigmoid(sums[3 * UNITS + u]);
      cell[u] = keep * cell[u] + letIn * Math.tanh(sums[2 * UNITS + u]);
      hidden[u] = letOut * Math.tanh(cell[u]);
      logit += Math.max(0, hidden[u]) * this.of.output[u];
    }
    return sigmoid(logit);
  }

  /** Four spectra of a frame, and the convolutions over them: `fourth`. */
  private encode(frame: Float32Array): void {
    const { mirrored, spectra, first, second, third, fourth } = this;
    const { conv1, conv2 } = this.of;
    mirrored.set(frame);
    for (let i = 0; i < CONTEXT; i++) mirrored[frame.length + i] = frame[frame.length - 2 - i];
    for (let t = 0; t < 4; t++) {
      magnitudes(mirrored.subarray(t * HOP, t * HOP + FFT), this.window, spectra.subarray(t * BINS));
    }
    const tap = BINS * 128;
    for (let t = 0; t < 4; t++) {
      const out = first.subarray(t * 128, (t + 1) * 128);
      out.set(this.of.bias1);
      for (let d = Math.max(-1, -t); d <= Math.min(1, 3 - t); d++) {
        const column = spectra.subarray((t + d) * BINS, (t + d + 1) * BINS);
        add(column, conv1.subarray((d + 1) * tap, (d + 2) * tap), out);
      }
      rectify(out);
    }
    // In steps of two, over four columns and one of zeros before them.
    layer(first.subarray(0, 2 * 128), conv2.subarray(128 * 64), this.of.bias2, second.subarray(0, 64));
    layer(first.subarray(128), conv2, this.of.bias2, second.subarray(64));
    layer(second, this.of.conv3, this.of.bias3, third);
    layer(third, this.of.conv4, this.of.bias4, fourth);
  }
}

/** Add the product of a row [R] and a matrix [R, C] to `out` [C]. */
function add(row: Float32Array, matrix: Float32Array, out: Float32Array): void {
  const columns = out.length;
  for (let r = 0; r < row.length; r++) {
    const value = row[r];
    if (value === 0) continue; // half of what was rectified
    const start = r * columns;
    for (let c = 0; c < columns; c++) out[c] += value * matrix[start + c];
  }
}

function layer(row: Float32Array, matrix: Float32Array, bias: Float32Array, out: Float32Array): void {
  out.set(bias);
  add(row, matrix, out);
  rectify(out);
}

function rectify(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
}

function sigmoid(value: number): number {
  return 0.5 + 0.5 * Math.tanh(0.5 * value);
}

const COS = Float64Array.from({ length: FFT / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / FFT));
const SIN = Float64Array.from({ length: FFT / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / FFT));
const REVERSED = Uint8Array.from({ length: FFT }, (_, n) =>
  parseInt(n.toString(2).padStart(8, "0").split("").reverse().join(""), 2),
);
const real = new Float64Array(FFT);
const imaginary = new Float64Array(FFT);

/** The magnitudes [129] of the spectrum of 256 windowed samples (Cooley and Tukey 1965). */
function magnitudes(samples: Float32Array, window: Float32Array, out: Float32Array): void {
  for (let n = 0; n < FFT; n++) real[REVERSED[n]] = samples[n] * window[n];
  imaginary.fill(0);
  for (let size = 2; size <= FFT; size *= 2) {
    const half = size / 2;
    const stride = FFT / size;
    for (let start = 0; start < FFT; start += size) {
      for (let k = 0; k < half; k++) {
        const low = start + k;
        const high = low + half;
        const c = COS[k * stride];
        const s = SIN[k * stride];
        const re = real[high] * c - imaginary[high] * s;
        const im = real[high] * s + imaginary[high] * c;
        real[high] = real[low] - re;
        imaginary[high] = imaginary[low] - im;
        real[low] += re;
        imaginary[low] += im;
      }
    }
  }
  for (let k = 0; k < BINS; k++) out[k] = Math.hypot(real[k], imaginary[k]);
}

/** A NumPy file of float16 or float32 values in one dimension. */
function readNpy(bytes: ArrayBuffer): Float32Array {
  const view = new DataView(bytes);
  const wide = view.getUint8(6) > 1;
  const start = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.slice(0, start));
  if (header.includes("'<f4'")) return new Float32Array(bytes.slice(start));
  if (!header.includes("'<f2'")) throw new Error("silero.npy is of another type");
  return Float32Array.from(new Uint16Array(bytes.slice(start)), half);
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}
