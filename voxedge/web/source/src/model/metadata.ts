/** The metadata of a model file, read from its protobuf bytes, and its seal.
 *
 *  See docs/design.md, "The model file". Field numbers: `onnx.proto` of ONNX. */
import { PageError } from "../errors";

export interface OpenSetRecord {
  best: number;
  lead: number;
  log_seconds: number;
  bias: number;
  accept: Record<string, number | null>;
}

export interface Metadata {
  labels: string[];
  sample_rate: number;
  window_seconds: number;
  min_seconds: number;
  embedding_dim: number;
  input: { dtype?: string; channels?: number };
  thresholds: Partial<OpenSetRecord>;
  gallery: object; // of people whom the file names; {}: none
  source: string;
  digest: string;
  schema: number;
}

const SCHEMA = 2; // the newest that is read
const KEY = "voxedge";
const BLANK = "0".repeat(64);

/** Read the metadata of a model file, whose content must match its digest.
 *
 *  @throws PageError: it is not a voxedge model, is of a newer schema, or damaged. */
export async function readMetadata(file: Uint8Array<ArrayBuffer>): Promise<Metadata> {
  const json = findEntry(file);
  if (!json)
    throw new PageError(
      "The model file is not one of voxedge: it has no metadata.",
      "Write the page anew: voxedge web model.onnx --out site/",
    );
  const metadata = JSON.parse(new TextDecoder().decode(json)) as Metadata;
  if (metadata.schema > SCHEMA)
    throw new PageError(
      `The model file has metadata schema ${metadata.schema}; this page reads up to ${SCHEMA}.`,
      "Write the page with the voxedge that wrote the model.",
    );
  if ((await digest(file, json, metadata.digest)) !== metadata.digest)
    throw new PageError(
      "The model file is damaged: its content does not match its digest.",
      "Copy the site again, and load the page anew.",
    );
  return { ...{ input: {}, thresholds: {}, gallery: {} }, ...metadata };
}

/** SHA-256 of bytes, in hexadecimal. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Of the whole file, in which the digest's own characters are taken to be "0". */
async function digest(
  file: Uint8Array<ArrayBuffer>,
  json: Uint8Array,
  written: string,
): Promise<string> {
  const at = new TextDecoder("latin1").decode(json).indexOf(written);
  const copy = file.slice();
  copy.set(new TextEncoder().encode(BLANK), json.byteOffset - file.byteOffset + at);
  return sha256(copy);
}

/** The value of the metadata entry of voxedge, as a view. */
function findEntry(file: Uint8Array): Uint8Array | null {
  for (const [number, entry] of fields(file)) {
    if (number !== 14) continue; // metadata_props
    const parts = new Map(fields(entry));
    if (new TextDecoder().decode(parts.get(1)) === KEY) return parts.get(2) ?? null;
  }
  return null;
}

/** The fields of a protobuf message that hold bytes: their numbers, and views of them. */
function* fields(message: Uint8Array): Generator<[number, Uint8Array]> {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; at < message.length; shift += 7) {
      const byte = message[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) varint();
    else if (wire === 2) {
      const size = varint();
      yield [Math.floor(tag / 8), message.subarray(at, at + size)];
      at += size;
    } else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else return;
  }
}
