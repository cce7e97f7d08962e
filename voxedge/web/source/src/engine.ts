/** All that is computed, in a worker: the page stays responsive. */
import type { Answer, Gallery, Heard, Live, Names, Opened, Part } from "./answer";
import type { Span } from "./audio/activity";
import { resample } from "./audio/resample";
import { activeWindows } from "./audio/windows";
import { PageError } from "./errors";
import * as file from "./gallery/file";
import { unfit } from "./gallery/fit";
import * as people from "./gallery/people";
import { Listener } from "./listener";
import { average, best, type Means } from "./model/means";
import { type Metadata, readMetadata } from "./model/metadata";
import { leastOdds, logOdds, probability } from "./model/open_set";
import { type Outputs, Session } from "./model/session";
import type { Site } from "./site";
import { Network } from "./speech/network";
import { findSpeech, LEAST_SPEECH, speechSeconds } from "./speech/segments";
import { PART, turns, turnWindows } from "./turns";

/** What the engine says on its own account. */
export type Event =
  | { kind: "loading"; bytes: number }
  | { kind: "windows"; done: number; of: number }
  | { kind: "live"; live: Live };

const LONG = 12; // seconds from which on a clip has a strip of who speaks when
const SAME = 0.999; // cosine of the same noise's embedding, here and in voxedge
const KEPT = 200; // clips that can be enrolled

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
    await this.requireSameAnswer(); // also, the first run takes longer
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
    const means = outputs.length ? this.means(outputs) : null;
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
      return this.answer(this.means(await this.run(windows, false)), seconds, names);
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

  /** Refuse a browser that computes something else than `voxedge web` did: some have, in silence. */
  private async requireSameAnswer(): Promise<void> {
    const noise = new Float32Array(this.window);
    let state = 1;
    for (let i = 0; i < noise.length; i++) {
      state = (Math.imul(1_664_525, state) + 1_013_904_223) >>> 0;
      noise[i] = state / 2 ** 32 - 0.5;
    }
    const { embedding } = await this.session.run(noise);
    const found = people.cosine(embedding, people.mean([Float32Array.from(this.site.probe)]));
    if (!(found >= SAME))
      throw new PageError(
        `This browser computes another answer than voxedge (a cosine of ${found.toFixed(4)}).`,
        "Take another browser, or another version of this one.",
      );
  }

  private get window(): number {
    return Math.round(this.metadata.window_seconds * this.metadata.sample_rate);
  }

  private means(outputs: Outputs[]): Means {
    return average(outputs, Object.keys(this.metadata.gallery).length > 0);
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
    const odds = (this.contents.calibration ?? this.site.calibration)?.odds;
    return {
      ...this.empty("people"),
      speaker: reason ? null : guesses[0].name,
      reason,
      guesses,
      known: odds ? probability(odds.scale * guesses[0].value + odds.offset - Math.log(own.length)) : null,
      least: line?.cosine ?? null,
    };
  }

  /** Who speaks when. */
  private async parts(samples: Float32Array, segments: Span[], names: Names): Promise<Part[]> {
    const rate = this.metadata.sample_rate;
    const spans = turnWindows(segments, rate);
    const outputs = await this.run(spans.map(({ start, end }) => samples.subarray(start, end)));
    return turns(spans, outputs, rate, (own) => this.answer(this.means(own), PART, names).speaker);
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
