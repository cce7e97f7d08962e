/** Which clips can be enrolled: the limits of voxedge/gallery/enrolment.py. */
import { Activity, power } from "../audio/activity";

const LEAST_SPEECH = 0.8; // seconds
const LEAST_LEVEL = -60; // dBFS
const MOST_CLIPPED = 0.1; // of the speech's samples
const FULL_SCALE = 0.999;

/** Why a clip cannot be enrolled; empty if it can.
 *
 *  @param speech seconds of it. */
export function unfit(samples: Float32Array, rate: number, speech: number): string {
  if (!speech) return "There is no speech in it: silence, noise or music.";
  const active = Activity.of(samples, rate).frames(samples);
  const level = 10 * Math.log10(power(active) + 1e-20);
  if (level < LEAST_LEVEL) return `It is too quiet: speech at ${level.toFixed(0)} dBFS.`;
  if (speech < LEAST_SPEECH)
    return `${speech.toFixed(1)} s of speech; at least ${LEAST_SPEECH} s are needed.`;
  const clipped = active.filter((value) => Math.abs(value) >= FULL_SCALE).length / active.length;
  return clipped > MOST_CLIPPED ? `${Math.round(100 * clipped)} % of the speech is clipped.` : "";
}
