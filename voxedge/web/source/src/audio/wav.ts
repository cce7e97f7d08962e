/** Plain WAV files, read and written here: bit for bit what `voxedge identify` reads.
 *
 *  The browser's own decoder would resample them by its own filter. */

export interface Channels {
  rate: number; // Hz
  channels: Float32Array[];
}

const EXTENSIBLE = 0xfffe;

/** The samples of a WAV file of integers or floats; null for any other file. */
export function readWav(bytes: ArrayBuffer): Channels | null {
  const view = new DataView(bytes);
  if (view.byteLength < 12 || text(view, 0) !== "RIFF" || text(view, 8) !== "WAVE") return null;
  let format: { tag: number; channels: number; rate: number; bits: number } | null = null;
  let position = 12;
  while (position + 8 <= view.byteLength) {
    const name = text(view, position);
    const size = view.getUint32(position + 4, true);
    const body = position + 8;
    if (name === "fmt " && body + 16 <= view.byteLength) {
      let tag = view.getUint16(body, true);
      if (tag === EXTENSIBLE && size >= 26) tag = view.getUint16(body + 24, true);
      format = {
        tag,
        channels: view.getUint16(body + 2, true),
        rate: view.getUint32(body + 4, true),
        bits: view.getUint16(body + 14, true),
      };
    } else if (name === "data" && format) {
      // A size that was never filled in: up to the end of the file.
      const open = size === 0 || size >= 0x7fffffff || body + size > view.byteLength;
      return samples(view, body, open ? view.byteLength - body : size, format);
    }
    position = body + size + (size & 1);
  }
  return null;
}

function samples(
  view: DataView,
  start: number,
  size: number,
  format: { tag: number; channels: number; rate: number; bits: number },
): Channels | null {
  const read = reader(view, format.tag, format.bits);
  if (!read || format.channels < 1 || format.channels > 32) return null;
  const width = format.bits / 8;
  const frames = Math.floor(size / (width * format.channels));
  const channels = Array.from({ length: format.channels }, () => new Float32Array(frames));
  let at = start;
  for (let frame = 0; frame < frames; frame++) {
    for (const channel of channels) {
      channel[frame] = read(at);
      at += width;
    }
  }
  return { rate: format.rate, channels };
}

/** How one sample is read: floats, and integers by the range of their type. */
function reader(view: DataView, tag: number, bits: number): ((at: number) => number) | null {
  if (tag === 3 && bits === 32) return (at) => view.getFloat32(at, true);
  if (tag === 3 && bits === 64) return (at) => view.getFloat64(at, true);
  if (tag !== 1) return null;
  if (bits === 8) return (at) => (view.getUint8(at) - 128) / 128;
  if (bits === 16) return (at) => view.getInt16(at, true) / 32768;
  if (bits === 24)
    return (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65536) / 8388608;
  if (bits === 32) return (at) => view.getInt32(at, true) / 2147483648;
  return null;
}

/** A mono WAV file of float32 samples, which loses nothing. */
export function writeWav(samples: Float32Array, rate: number): Blob {
  const head = new DataView(new ArrayBuffer(44));
  const put = (at: number, word: string) => {
    for (let i = 0; i < 4; i++) head.setUint8(at + i, word.charCodeAt(i));
  };
  const size = samples.length * 4;
  put(0, "RIFF");
  head.setUint32(4, 36 + size, true);
  put(8, "WAVE");
  put(12, "fmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 3, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, rate * 4, true);
  head.setUint16(32, 4, true);
  head.setUint16(34, 32, true);
  put(36, "data");
  head.setUint32(40, size, true);
  return new Blob([head.buffer, samples as Float32Array<ArrayBuffer>], { type: "audio/wav" });
}

function text(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}
