/** Whether a clip is by one of the file's speakers at all: as voxedge/inference/open_set.py. */
import type { OpenSetRecord } from "./metadata";

const RIVALS = 5; // speakers behind the best one whose mean logit it is compared with
const ACCEPT = 0.05; // share of strangers who may be named

/** Log-odds by the calibration in the file's metadata; null where it has none. */
export function logOdds(
  record: Partial<OpenSetRecord>,
  logits: Float64Array,
  seconds: number,
): number | null {
  if (record.best === undefined) return null;
  const { best, lead, log_seconds, bias } = record as OpenSetRecord;
  const [first, ...rest] = Array.from(logits).sort((a, b) => b - a);
  const rivals = rest.slice(0, RIVALS);
  const mean = rivals.reduce((sum, value) => sum + value, 0) / rivals.length;
  return bias + best * first + lead * (first - mean) + log_seconds * Math.log(seconds);
}

/** The least log-odds at which no more than 5 % of strangers are named; null: not known. */
export function leastOdds(record: Partial<OpenSetRecord>): number | null {
  const shares = Object.keys(record.accept ?? {}).filter((s) => Number(s) <= ACCEPT * (1 + 1e-9));
  if (!shares.length) return null;
  const largest = shares.reduce((a, b) => (Number(a) > Number(b) ? a : b));
  return record.accept?.[largest] ?? null;
}

/** The probability of log-odds. */
export function probability(odds: number): number {
  return 1 / (1 + Math.exp(-odds));
}
