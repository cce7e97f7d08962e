/** From a file to mono samples: plain WAV here, all else by the browser's own decoders. */
import { PageError } from "../errors";
import { downmix } from "./downmix";
import { readWav, type Channels } from "./wav";

export interface Clip {
  samples: Float32Array; // mono, in [-1, 1]
  rate: number; // Hz
}

const DECODED_RATE = 48_000; // Hz, to which the browser resamples what it decodes
const MAX_BYTES = 1 << 30;
const MAX_SECONDS = 3_600;
const MAX_PEAK = 64;
const RATES = [4_000, 384_000]; // Hz

/** Decode a file.
 *
 *  @throws PageError: it is empty, too large, or not audio that this browser can decode. */
export async function decode(file: File): Promise<Clip> {
  if (!file.size) throw new PageError("The file is empty.", "Copy or record it again.");
  if (file.size > MAX_BYTES)
    throw new PageError(`The file has ${file.size} bytes; at most 1 GiB is read.`, "Cut it.");
  const bytes = await file.arrayBuffer();
  const { rate, channels } = readWav(bytes) ?? (await byBrowser(bytes));
  if (rate < RATES[0] || rate > RATES[1])
    throw new PageError(
      `A sample rate of ${rate} Hz; accepted are ${RATES[0]} to ${RATES[1]}.`,
      "Convert the file.",
    );
  const cut = channels.map((channel) => channel.subarray(0, MAX_SECONDS * rate));
  const samples = downmix(cut, rate);
  checkValues(samples);
  return { samples: samples === channels[0] ? samples : samples.slice(), rate };
}

async function byBrowser(bytes: ArrayBuffer): Promise<Channels> {
  try {
    const decoded = await new OfflineAudioContext(1, 1, DECODED_RATE).decodeAudioData(bytes);
    const channels = Array.from({ length: decoded.numberOfChannels }, (_, c) =>
      decoded.getChannelData(c),
    );
    return { rate: decoded.sampleRate, channels };
  } catch {
    throw new PageError(
      "This is not audio that the browser can decode.",
      "Convert it to WAV, FLAC or MP3: ffmpeg -i FILE clip.wav",
    );
  }
}

function checkValues(samples: Float32Array): void {
  let peak = 0;
  for (const value of samples) {
    if (!Number.isFinite(value))
      throw new PageError("Some samples are NaN or infinite.", "Record or convert it again.");
    peak = Math.max(peak, Math.abs(value));
  }
  if (peak > MAX_PEAK)
    throw new PageError(
      `Samples up to ${peak.toPrecision(3)}; expected are -1 to 1.`,
      "Scale integers by the range of their type.",
    );
}
