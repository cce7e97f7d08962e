/** What the windows of a clip have in common. */
import { norm } from "../gallery/file";
import type { Outputs } from "./session";

export type Means = Record<"logits" | "probabilities" | "embedding", Float64Array>;

const TOP = 5;

/** The means over the windows of a clip.
 *
 *  @param byPeople whether logits are proportional to cosines with people of a gallery: then the
 *    answer is that of the mean embedding, at unit length, as a gallery gives it. */
export function average(outputs: Outputs[], byPeople: boolean): Means {
  const mean = (name: keyof Outputs) =>
    Float64Array.from(outputs[0][name], (_, i) => {
      let sum = 0;
      for (const each of outputs) sum += each[name][i];
      return sum / outputs.length;
    });
  const [logits, embedding] = [mean("logits"), mean("embedding")];
  if (!byPeople) return { logits, probabilities: mean("probabilities"), embedding };
  const length = Math.max(norm(embedding), 1e-12);
  const scaled = logits.map((value) => value / length);
  return { logits: scaled, probabilities: softmax(scaled), embedding };
}

function softmax(logits: Float64Array): Float64Array {
  const most = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** The places of the five largest values, in order. */
export function best(values: ArrayLike<number>): number[] {
  const places = Array.from(values, (_, i) => i);
  return places.sort((a, b) => values[b] - values[a] || a - b).slice(0, TOP);
}
