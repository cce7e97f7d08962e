/** The file of a gallery: two lines of text, then numbers (docs/enroll.md, "The file").
 *
 *  Read and written as voxedge/gallery/file.py does, so that people move between both. */
import { PageError } from "../errors";
import { sha256 } from "../model/metadata";

export interface GalleryModel {
  digest: string;
  file: string;
  source: string;
  sample_rate: number;
  embedding_dim: number;
}

export interface EnrolledClip {
  file: string;
  seconds: number;
  speech: number;
  embedding: Float32Array; // [E], of unit length
  samples: Int16Array | null;
}

export interface Person {
  name: string;
  clips: EnrolledClip[];
}

export interface Calibration {
  cosines: number[];
  speakers: number;
  clips: number;
  corpus: string;
  odds?: { scale: number; offset: number } | null; // log-odds of a cosine, at even odds
}

export interface Contents {
  model: GalleryModel;
  people: Person[];
  calibration: Calibration | null;
}

const MAGIC = "voxedge-gallery";
const SCHEMA = 1;
const UNIT = 1e-3; // that the length of an embedding may differ from 1

/** A gallery as the bytes of its file. */
export async function encode(contents: Contents): Promise<Uint8Array<ArrayBuffer>> {
  const clips = contents.people.flatMap((person) => person.clips);
  const header = {
    model: contents.model,
    clips: clips.length,
    people: contents.people.map((person) => ({
      name: person.name,
      clips: person.clips.map(({ file, seconds, speech, samples }) => ({
        file,
        seconds: Math.round(seconds * 1000) / 1000,
        speech: Math.round(speech * 1000) / 1000,
        samples: samples?.length ?? 0,
      })),
    })),
    calibration: contents.calibration,
  };
  const rest = await joined([
    `${JSON.stringify(header)}\n`,
    ...clips.map((clip) => clip.embedding as Float32Array<ArrayBuffer>),
    ...clips.flatMap((clip) => (clip.samples ? [clip.samples as Int16Array<ArrayBuffer>] : [])),
  ]);
  return joined([`${MAGIC} ${SCHEMA} ${await sha256(rest)}\n`, rest]);
}

/** Read the bytes of a gallery's file, none of which is trusted.
 *
 *  @throws PageError: they are not a whole gallery, or of a newer schema. */
export async function decode(data: Uint8Array<ArrayBuffer>): Promise<Contents> {
  const end = data.indexOf(10);
  const line = new TextDecoder("latin1").decode(data.subarray(0, Math.max(0, end)));
  const found = /^voxedge-gallery (\d{1,6}) ([0-9a-f]{64})(?: [\w+/=]{88})?$/.exec(line);
  if (!found)
    throw new PageError("The file is not a gallery of voxedge.", "Choose a file that ends in .vxg.");
  if (Number(found[1]) > SCHEMA)
    throw new PageError(
      `The gallery is of schema ${found[1]}; this page reads up to ${SCHEMA}.`,
      "Write the page with the voxedge that wrote the gallery.",
    );
  const rest = data.slice(end + 1);
  if ((await sha256(rest)) !== found[2])
    throw new PageError(
      "The gallery is damaged: its content does not match its checksum.",
      "Copy it again.",
    );
  try {
    return contents(rest);
  } catch (error) {
    throw new PageError(`The gallery is refused: ${(error as Error).message}.`);
  }
}

function contents(rest: Uint8Array<ArrayBuffer>): Contents {
  const end = rest.indexOf(10);
  const header = JSON.parse(new TextDecoder().decode(rest.subarray(0, end)));
  const width: number = header.model.embedding_dim;
  let at = end + 1;
  const take = (bytes: number) => {
    if (!(bytes >= 0) || at + bytes > rest.length) throw new Error("it is cut off");
    at += bytes;
    return rest.slice(at - bytes, at).buffer;
  };
  const people: Person[] = header.people.map((person: Person) => ({
    name: String(person.name),
    clips: person.clips.map(({ file, seconds, speech }) => ({
      file: String(file),
      seconds: Number(seconds),
      speech: Number(speech),
      embedding: new Float32Array(take(4 * width)),
      samples: null,
    })),
  }));
  header.people.forEach((person: { clips: { samples: number }[] }, p: number) =>
    person.clips.forEach(({ samples }, c) => {
      if (samples) people[p].clips[c].samples = new Int16Array(take(2 * samples));
    }),
  );
  if (at !== rest.length) throw new Error("its size is not what its header says");
  const names = new Set(people.map((person) => person.name.trim().toLowerCase()));
  if (names.size !== people.length || names.has("")) throw new Error("a name twice, or none");
  if (people.some((person) => !person.clips.length)) throw new Error("a person without clips");
  const clips = people.flatMap((person) => person.clips);
  if (clips.some((clip) => !(Math.abs(norm(clip.embedding) - 1) < UNIT)))
    throw new Error("an embedding is not of length 1");
  return { model: header.model, people, calibration: header.calibration ?? null };
}

/** The length of a vector. */
export function norm(vector: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += vector[i] ** 2;
  return Math.sqrt(sum);
}

async function joined(parts: BlobPart[]): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
