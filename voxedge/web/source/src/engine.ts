/** All that is computed, in a worker: the page stays responsive. */
import type { Answer, Gallery, Heard, Live, Names, Opened, Part } from "./answer";
import { Activity, power, type Span } from "./audio/activity";
import { resample } from "./audio/resample";
import { activeWindows, windowStarts } from "./audio/windows";
import { PageError } from "./errors";
import * as file from "./gallery/file";
import * as people from "./gallery/people";
import { Listener } from "./listener";
import { type Metadata, readMetadata } from "./model/metadata";
import { leastOdds, logOdds, probability } from "./model/open_set";
import { type Outputs, Session } from "./model/session";
import type { Site } from "./site";
import { Network } from "./speech/network";
import { findSpeech, LEAST_SPEECH, speechSeconds } from "./speech/segments";

/** What the engine says on its own account. */
export type Event =
  | { kind: "loading"; bytes: number }
  | { kind: "windows"; done: number; of: number }
  | { kind: "live"; live: Live };

const TOP = 5;
const LONG = 12; // seconds from which on a clip has a strip of who speaks when
const PART = 2; // seconds of a window of the strip; two overlap by half
const JOINED = 0.3; // seconds: shorter pauses do not divide speech
const KEPT = 200; // clips that can be enrolled

// What can be enrolled: voxedge/gallery/enrolment.py.
const ENROLLED_SPEECH = 0.8; // seconds
const LEAST_LEVEL = -60; // dBFS
const MOST_CLIPPED = 0.1; // of the speech's samples

type Means = Record<"logits" | "probabilities" | "embedding", Float64Array>;

interface Enrollable {
  clip: file.EnrolledClip | null;
  problem: string;
}

export class Engine {
  private site!: Site;
  private metadata!: Metadata;
  private session!: Session;
  private network!: Network;
  private contents!: file.Contents;
  private listener: Listener | null = null;
  private readonly clips = new Map<number, Enrollable>();
  private count = 0;

  constructor(private readonly tell: (event: Event) => void) {}

  /** Load the model, the detector of speech, and the people.
   *
   *  @param kept a gallery that was changed on this device, if there is one. */
  async open(folder: string, kept: Uint8Array<ArrayBuffer> | null): Promise<Opened> {
    const start = performance.now();
    const at = (name: string) => new URL(name, folder);
    this.site = JSON.parse(new TextDecoder().decode(await this.fetch(at("site.json"))));
    const model = await this.fetch(at("model.onnx"));
    this.metadata = await readMetadata(model);
    this.network = new Network((await this.fetch(at("silero.npy"))).buffer);
    this.session = await Session.open(model, this.metadata, new URL(folder));
    this.contents = this.nobody();
    if (kept) await this.importPeople(kept);
    else if (this.site.gallery) await this.importPeople(await this.fetch(at("people.vxg")));
    await this.session.run(new Float32Array(this.window)); // the first run takes longer
    return {
      model: this.site.model,
      speakers: this.metadata.labels.length,
      strangers: leastOdds(this.metadata.thresholds) !== null,
      threads: this.session.threads,
      rate: this.metadata.sample_rate,
      digest: this.metadata.digest,
      ownPeople: this.site.gallery !== null,
      milliseconds: performance.now() - start,
    };
  }

  /** Hear a whole clip. */
  async hear(name: string, given: Float32Array, rate: number, names: Names): Promise<Heard> {
    const start = performance.now();
    const samples = resample(given, rate, this.metadata.sample_rate);
    const seconds = given.length / rate;
    if (seconds < this.metadata.min_seconds)
      throw new PageError(
        `${seconds.toFixed(2)} s of audio; at least ${this.metadata.min_seconds} s are needed.`,
        "Record a longer clip.",
      );
    const segments = findSpeech(samples, this.metadata.sample_rate, this.network);
    const spoken = speechSeconds(segments);
    const silent = spoken === 0 ? "no_speech" : spoken < LEAST_SPEECH ? "too_little_speech" : null;
    const windows = silent ? [] : activeWindows(samples, this.window, this.metadata.sample_rate, segments);
    const outputs = await this.run(windows);
    const means = outputs.length ? average(outputs) : null;
    const nobody: Answer = { ...this.empty(names), reason: silent ?? "no_speech" };
    const answer = means ? this.answer(means, seconds, names) : nobody;
    const parts = seconds >= LONG && means ? await this.parts(samples, segments, names) : null;
    const clip = this.keep(name, samples, spoken, means);
    return {
      answer: { ...answer, seconds, speechSeconds: spoken, windows: outputs.length },
      parts,
      clip,
      milliseconds: performance.now() - start,
    };
  }

  /** Begin to hear a microphone. */
  listen(rate: number, names: Names): void {
    const answer = async (samples: Float32Array) => {
      const windows = activeWindows(samples, this.window, this.metadata.sample_rate, [
        { start: 0, end: Infinity },
      ]);
      if (!windows.length) return null;
      const seconds = samples.length / this.metadata.sample_rate;
      return this.answer(average(await this.run(windows, false)), seconds, names);
    };
    this.listener = new Listener(rate, this.metadata.sample_rate, this.network, answer, (live) =>
      this.tell({ kind: "live", live }),
    );
  }

  /** Hear more of the microphone. */
  feed(block: Float32Array): void {
    this.listener?.feed(block);
  }

  /** End the recording: all of it at the model's rate. */
  finish(): Float32Array {
    const samples = this.listener?.finish() ?? new Float32Array();
    this.listener = null;
    return samples;
  }

  /** Why a clip cannot be enrolled; empty if it can. */
  problem(clip: number): string {
    return this.clips.get(clip)?.problem ?? "It was heard too long ago: choose it again.";
  }

  /** Enrol clips that were heard, under a name. */
  enroll(name: string, clips: number[]): void {
    const given = clips.map((clip) => this.clips.get(clip)?.clip).filter((clip) => !!clip);
    if (!given.length)
      throw new PageError("There is no clip to enrol.", "Record somebody, or choose files, first.");
    this.contents = people.enrolled(this.contents, name, given, this.site.calibration);
  }

  remove(name: string): void {
    const left = this.contents.people.filter((person) => person.name !== name);
    this.contents = { ...this.contents, people: left };
  }

  /** The gallery as the bytes of its file. */
  exportPeople(): Promise<Uint8Array<ArrayBuffer>> {
    return file.encode(this.contents);
  }

  /** Put a gallery's file in the place of the people. */
  async importPeople(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const found = await file.decode(bytes);
    if (found.model.digest !== this.metadata.digest)
      throw new PageError(
        `The gallery was made with ${found.model.file}, and ${this.site.model} is another model:` +
          " their embeddings do not compare.",
        "Import a gallery of this model, or enrol the people anew.",
      );
    this.contents = found;
  }

  gallery(): Gallery {
    return {
      people: this.contents.people.map(({ name, clips }) => ({
        name,
        clips: clips.length,
        speech: clips.reduce((sum, clip) => sum + clip.speech, 0),
      })),
      basis: people.threshold(this.contents, this.site.calibration)?.basis ?? null,
    };
  }

  private get window(): number {
    return Math.round(this.metadata.window_seconds * this.metadata.sample_rate);
  }

  private nobody(): file.Contents {
    const { digest, source, sample_rate, embedding_dim } = this.metadata;
    const model = { digest, file: this.site.model, source: source ?? "", sample_rate, embedding_dim };
    return { model, people: [], calibration: null };
  }

  private empty(names: Names): Answer {
    return {
      names,
      seconds: 0,
      speechSeconds: 0,
      windows: 0,
      speaker: null,
      reason: null,
      guesses: [],
      known: null,
      least: null,
    };
  }

  private answer(means: Means, seconds: number, names: Names): Answer {
    return names === "speakers" ? this.bySpeakers(means, seconds) : this.byPeople(means);
  }

  private bySpeakers({ logits, probabilities }: Means, seconds: number): Answer {
    const { labels, thresholds, window_seconds } = this.metadata;
    const guesses = best(probabilities).map((k) => ({ name: labels[k], value: probabilities[k] }));
    const odds = logOdds(thresholds, logits, Math.min(seconds, window_seconds));
    const least = leastOdds(thresholds);
    const unknown = odds !== null && least !== null && odds < least;
    return {
      ...this.empty("speakers"),
      speaker: unknown ? null : guesses[0].name,
      reason: unknown ? "unknown" : null,
      guesses,
      known: odds === null ? null : probability(odds),
      least: least === null ? null : probability(least),
    };
  }

  private byPeople({ embedding }: Means): Answer {
    const own = this.contents.people;
    if (!own.length) return { ...this.empty("people"), reason: "nobody_enrolled" };
    const vector = people.mean([Float32Array.from(embedding)]);
    const cosines = own.map((person) => people.cosine(vector, people.centre(person)));
    const guesses = best(cosines).map((p) => ({ name: own[p].name, value: cosines[p] }));
    const line = people.threshold(this.contents, this.site.calibration);
    const reason = !line ? "no_threshold" : guesses[0].value < line.cosine ? "unknown" : null;
    return {
      ...this.empty("people"),
      speaker: reason ? null : guesses[0].name,
      reason,
      guesses,
      least: line?.cosine ?? null,
    };
  }

  /** Who speaks when: windows of speech, each moment named by those that hold it. */
  private async parts(samples: Float32Array, segments: Span[], names: Names): Promise<Part[]> {
    const rate = this.metadata.sample_rate;
    const size = PART * rate;
    const spans = joined(segments).flatMap(({ start, end }) => {
      const [first, last] = [Math.round(start * rate), Math.round(end * rate)];
      return windowStarts(last - first, size).map((at) => ({
        start: first + at,
        end: Math.min(first + at + size, last),
      }));
    });
    const outputs = await this.run(spans.map(({ start, end }) => samples.subarray(start, end)));
    const found: Part[] = [];
    const edges = [...new Set(spans.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
    for (let i = 1; i < edges.length; i++) {
      const [start, end] = [edges[i - 1], edges[i]];
      const own = outputs.filter((_, n) => spans[n].start <= start && end <= spans[n].end);
      if (!own.length) continue;
      const { speaker } = this.answer(average(own), PART, names);
      const before = found[found.length - 1];
      if (before && before.speaker === speaker && start / rate - before.end < 1e-6)
        before.end = end / rate;
      else found.push({ start: start / rate, end: end / rate, speaker });
    }
    return found;
  }

  private async run(windows: Float32Array[], told = true): Promise<Outputs[]> {
    const outputs: Outputs[] = [];
    for (const window of windows) {
      outputs.push(await this.session.run(window));
      if (told) this.tell({ kind: "windows", done: outputs.length, of: windows.length });
    }
    return outputs;
  }

  /** Remember a clip, so that it can be enrolled, or why it cannot. */
  private keep(name: string, samples: Float32Array, speech: number, means: Means | null): number {
    const problem = unfit(samples, this.metadata.sample_rate, speech);
    const vector = means && people.mean([Float32Array.from(means.embedding)]);
    const seconds = samples.length / this.metadata.sample_rate;
    const clip =
      problem || !vector ? null : { file: name, seconds, speech, embedding: vector, samples: null };
    this.clips.set(++this.count, { clip, problem });
    if (this.clips.size > KEPT) this.clips.delete(this.count - KEPT);
    return this.count;
  }

  /** Fetch a file of the site, and say how it goes on. */
  private async fetch(url: URL): Promise<Uint8Array<ArrayBuffer>> {
    const response = await fetch(url).catch(() => null);
    if (!response?.ok || !response.body)
      throw new PageError(
        `${url.pathname.split("/").pop()} of this site cannot be loaded` +
          (response ? ` (HTTP ${response.status}).` : ": there is no connection."),
        "Copy the whole folder that voxedge web wrote, or load the page again.",
      );
    const counted = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          this.tell({ kind: "loading", bytes: chunk.length });
          controller.enqueue(chunk);
        },
      }),
    );
    return new Uint8Array(await new Response(counted).arrayBuffer());
  }
}

/** The means over the windows of a clip. */
function average(outputs: Outputs[]): Means {
  const mean = (name: keyof Outputs) =>
    Float64Array.from(outputs[0][name], (_, i) => {
      let sum = 0;
      for (const each of outputs) sum += each[name][i];
      return sum / outputs.length;
    });
  return { logits: mean("logits"), probabilities: mean("probabilities"), embedding: mean("embedding") };
}

/** The places of the five largest values, in order. */
function best(values: ArrayLike<number>): number[] {
  const places = Array.from(values, (_, i) => i);
  return places.sort((a, b) => values[b] - values[a] || a - b).slice(0, TOP);
}

/** Segments of speech, of which short pauses are part. */
function joined(segments: Span[]): Span[] {
  const found: Span[] = [];
  for (const { start, end } of segments) {
    const before = found[found.length - 1];
    if (before && start - before.end < JOINED) before.end = end;
    else found.push({ start, end });
  }
  return found;
}

/** Why a clip cannot be enrolled: voxedge/gallery/enrolment.py, `examine`. */
function unfit(samples: Float32Array, rate: number, speech: number): string {
  if (!speech) return "There is no speech in it: silence, noise or music.";
  const active = Activity.of(samples, rate).frames(samples);
  const level = 10 * Math.log10(power(active) + 1e-20);
  if (level < LEAST_LEVEL) return `It is too quiet: speech at ${level.toFixed(0)} dBFS.`;
  if (speech < ENROLLED_SPEECH)
    return `${speech.toFixed(1)} s of speech; at least ${ENROLLED_SPEECH} s are needed.`;
  const clipped = active.filter((value) => Math.abs(value) >= 0.999).length / active.length;
  return clipped > MOST_CLIPPED ? `${Math.round(100 * clipped)} % of the speech is clipped.` : "";
}
