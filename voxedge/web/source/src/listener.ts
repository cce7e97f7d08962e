/** Who is speaking at a microphone: a rolling window, as voxedge/timeline/listening.py. */
import type { Answer, Live } from "./answer";
import { power } from "./audio/activity";
import { Resampler } from "./audio/resample";
import { FRAME_SECONDS, SpeechDetector } from "./speech/detector";
import { type Network, RATE } from "./speech/network";
import { THRESHOLD } from "./speech/segments";

const EVERY = 0.4; // seconds between two answers
const SECONDS = 3; // of the rolling window
const LEAST_SPEECH = 0.8; // seconds of it in the window
const MOST = 600; // seconds that are kept for the answer at the end

export class Listener {
  private readonly toModel: Resampler;
  private readonly toDetector: Resampler;
  private readonly detector: SpeechDetector;
  private readonly kept: Float32Array[] = []; // the recording, at the model's rate
  private samples = new Float32Array(); // of the rolling window
  private probabilities: number[] = [];
  private fresh: Float32Array[] = []; // since the last answer, as they came
  private heard = 0; // samples
  private pending = 0; // samples since the last answer
  private busy = false;
  private ended = false;

  constructor(
    private readonly rate: number,
    private readonly wanted: number,
    network: Network,
    private readonly answer: (samples: Float32Array) => Promise<Answer | null>,
    private readonly tell: (live: Live) => void,
  ) {
    this.toModel = new Resampler(rate, wanted);
    this.toDetector = new Resampler(rate, RATE);
    this.detector = new SpeechDetector(network);
  }

  feed(block: Float32Array): void {
    this.heard += block.length;
    this.pending += block.length;
    this.fresh.push(block);
    const own = this.toModel.feed(block);
    if (this.heard <= MOST * this.rate) this.kept.push(own);
    this.samples = concatenate([this.samples, own]).slice(-SECONDS * this.wanted);
    const frames = Math.floor(SECONDS / FRAME_SECONDS);
    const found = this.detector.feed(this.toDetector.feed(block));
    this.probabilities = [...this.probabilities, ...found].slice(-frames);
    if (!this.busy && this.pending >= EVERY * this.rate) void this.update();
  }

  /** All that was heard, at the model's rate. */
  finish(): Float32Array {
    this.ended = true;
    return concatenate([...this.kept, this.toModel.feed(new Float32Array(), true)]);
  }

  private async update(): Promise<void> {
    const late = this.pending >= 2 * EVERY * this.rate;
    const level = 10 * Math.log10(power(concatenate(this.fresh)) + 1e-10);
    this.pending = 0;
    this.fresh = [];
    this.busy = true;
    const seconds = this.heard / this.rate;
    try {
      const spoken = this.spoken();
      const answer = spoken && (await this.answer(spoken));
      if (!this.ended) this.tell({ seconds, level, answer, late });
    } finally {
      this.busy = false;
    }
  }

  /** The samples from the first speech to the last; null if there is too little. */
  private spoken(): Float32Array | null {
    const flags = this.probabilities.map((value) => value >= THRESHOLD);
    if (flags.filter(Boolean).length * FRAME_SECONDS < LEAST_SPEECH) return null;
    const place = (frame: number) => {
      const before = Math.round((flags.length - frame) * FRAME_SECONDS * this.wanted);
      return Math.max(0, this.samples.length - before);
    };
    return this.samples.slice(place(flags.indexOf(true)), place(flags.lastIndexOf(true) + 1));
  }
}

function concatenate(blocks: Float32Array[]): Float32Array<ArrayBuffer> {
  const whole = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}
