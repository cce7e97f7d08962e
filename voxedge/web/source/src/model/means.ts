/** What the windows of a clip have in common. */
import type { Outputs } from "./session";

export type Means = Record<"logits" | "probabilities" | "embedding", Float64Array>;

const TOP = 5;

/** The means over the windows of a clip. */
export function average(outputs: Outputs[]): Means {
  const mean = (name: keyof Outputs) =>
    Float64Array.from(outputs[0][name], (_, i) => {
      let sum = 0;
      for (const each of outputs) sum += each[name][i];
      return sum / outputs.length;
    });
  return { logits: mean("logits"), probabilities: mean("probabilities"), embedding: mean("embedding") };
}

/** The places of the five largest values, in order. */
export function best(values: ArrayLike<number>): number[] {
  const places = Array.from(values, (_, i) => i);
  return places.sort((a, b) => values[b] - values[a] || a - b).slice(0, TOP);
}
