/** The probability that each frame of a clip or a stream holds speech (voxedge/speech). */
import { CONTEXT, FRAME, RATE, type Network } from "./network";

export const FRAME_SECONDS = FRAME / RATE;

/** A detector for a stream at 16 kHz, which remembers what it has heard. */
export class SpeechDetector {
  private readonly hidden = new Float32Array(128);
  private readonly cell = new Float32Array(128);
  private held = new Float32Array(CONTEXT); // context, and the frame that is not complete

  constructor(private readonly network: Network) {}

  /** The probabilities of the frames that samples complete. */
  feed(samples: Float32Array): number[] {
    const heard = new Float32Array(this.held.length + samples.length);
    heard.set(this.held);
    heard.set(samples, this.held.length);
    const count = Math.floor((heard.length - CONTEXT) / FRAME);
    const found: number[] = [];
    for (let n = 0; n < count; n++) {
      const frame = heard.subarray(n * FRAME, n * FRAME + CONTEXT + FRAME);
      found.push(this.network.next(frame, this.hidden, this.cell));
    }
    this.held = heard.slice(count * FRAME);
    return found;
  }

  /** The probabilities of what is left, filled up with zeros: the stream has ended. */
  finish(): number[] {
    const left = this.held.length - CONTEXT;
    return left ? this.feed(new Float32Array(FRAME - left)) : [];
  }
}
