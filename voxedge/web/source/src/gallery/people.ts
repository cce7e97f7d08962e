/** Recognise and enrol people: nearest, threshold, coherence; the rules of voxedge/gallery. */
import { quantile } from "../audio/activity";
import { PageError } from "../errors";
import { type Calibration, type Contents, type EnrolledClip, norm, type Person } from "./file";

export interface Threshold {
  cosine: number;
  basis: "people" | "strangers" | "measured";
}

const ACCEPT = 0.05; // share of strangers who are let through
const CLOSE = 0.005; // share of pairs of people who are taken for one
const LEAST_PEOPLE = 20; // whose clips stand in for strangers' clips
const LEAST_ERRORS = 3; // clips that the share must amount to
const RATES = [0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]; // of a calibration's cosines
const SAME_CLIP = 0.99999; // cosine
const STEPS = 20; // of 2-means

/** The mean of embeddings, of unit length. */
export function mean(vectors: Float32Array[]): Float32Array {
  const sum = new Float64Array(vectors[0].length);
  for (const vector of vectors) vector.forEach((value, i) => (sum[i] += value));
  const length = Math.max(norm(sum), 1e-12);
  return Float32Array.from(sum, (value) => value / length);
}

/** The cosine of two unit vectors. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** The mean embedding of a person. */
export function centre(person: Person): Float32Array {
  return mean(person.clips.map((clip) => clip.embedding));
}

/** From which cosine on a clip is the nearest person's; null: nothing is known to base it on.
 *
 *  @param known what was measured for this model file, if the gallery has no calibration. */
export function threshold(contents: Contents, known: Calibration | null): Threshold | null {
  const { people } = contents;
  if (people.length >= LEAST_PEOPLE) {
    const means = people.map(centre);
    const strange = people.flatMap((person, p) =>
      person.clips.map((clip) =>
        Math.max(...means.map((other, o) => (o === p ? -1 : cosine(clip.embedding, other)))),
      ),
    );
    if (strange.length * ACCEPT >= LEAST_ERRORS)
      return { cosine: quantile(strange, 1 - ACCEPT), basis: "people" };
  }
  const calibration = contents.calibration ?? known;
  if (!calibration) return null;
  const rate = ACCEPT / Math.max(1, people.length);
  const basis = contents.calibration ? "strangers" : "measured";
  return { cosine: atRate(calibration, rate), basis };
}

/** The threshold of a calibration for a share of false acceptances of one comparison. */
function atRate({ cosines }: Calibration, accept: number): number {
  const rates = RATES.slice(0, cosines.length).map(Math.log);
  const wanted = Math.log(accept);
  if (wanted >= rates[0]) return cosines[0];
  for (let i = 1; i < rates.length; i++) {
    if (wanted < rates[i]) continue;
    const part = (rates[i - 1] - wanted) / (rates[i - 1] - rates[i]);
    return cosines[i - 1] + part * (cosines[i] - cosines[i - 1]);
  }
  return cosines[cosines.length - 1];
}

/** Add a person, or clips to one.
 *
 *  @throws PageError: an impossible name, clips of several voices, or somebody who is enrolled. */
export function enrolled(
  contents: Contents,
  name: string,
  given: EnrolledClip[],
  known: Calibration | null,
): Contents {
  const label = name.normalize("NFC").trim();
  if (!label || label.length > 200) throw new PageError("A name has 1 to 200 characters.");
  const before = contents.people.find((person) => person.name === label);
  const alike = contents.people.find((p) => p.name.toLowerCase() === label.toLowerCase());
  if (alike && !before)
    throw new PageError(`${label} cannot be told from ${alike.name}.`, "Take another name.");
  const clips = [...(before?.clips ?? [])];
  for (const clip of given)
    if (!clips.some((old) => cosine(old.embedding, clip.embedding) > SAME_CLIP)) clips.push(clip);
  if (clips.length === (before?.clips.length ?? 0))
    throw new PageError("These clips are enrolled already.", "Record other ones.");
  const person = { name: label, clips };
  const calibration = contents.calibration ?? known;
  if (calibration) {
    requireOneVoice(person, atRate(calibration, ACCEPT));
    if (!before) requireNewVoice(contents, person, atRate(calibration, CLOSE));
  }
  const people = before
    ? contents.people.map((each) => (each === before ? person : each))
    : [...contents.people, person];
  return { ...contents, people };
}

function requireOneVoice(person: Person, least: number): void {
  const odd = oddClips(person.clips, least);
  if (!odd.length) return;
  if (odd.length === person.clips.length)
    throw new PageError(
      `${odd[0].file} and ${odd[1].file} do not sound like one person.`,
      "Add a third clip, which shows the odd one.",
    );
  const more = odd.length > 1 ? `, nor do ${odd.length - 1} more` : "";
  throw new PageError(
    `${odd[0].file} does not sound like the other clips of ${person.name}${more}.`,
    "Leave it out.",
  );
}

function requireNewVoice(contents: Contents, person: Person, close: number): void {
  const own = centre(person);
  for (const other of contents.people) {
    const value = cosine(own, centre(other));
    if (value >= close)
      throw new PageError(
        `${person.name} sounds like ${other.name}, who is enrolled (cosine ${value.toFixed(2)}).`,
        `If it is ${other.name}, enrol the clips under that name.`,
      );
  }
}

/** The clips that do not sound like the others: voxedge/gallery/enrolment.py, `odd_clips`. */
function oddClips(clips: EnrolledClip[], least: number): EnrolledClip[] {
  let left = clips;
  const odd: EnrolledClip[] = [];
  while (left.length > 1) {
    let second = twoGroups(left);
    if (second.filter(Boolean).length * 2 > left.length) second = second.map((flag) => !flag);
    const kept = left.filter((_, i) => !second[i]);
    const others = left.filter((_, i) => second[i]);
    const middle = mean(kept.map((clip) => clip.embedding));
    if (cosine(middle, mean(others.map((clip) => clip.embedding))) >= least) break;
    if (kept.length === others.length) return [...kept.flatMap((clip, i) => [clip, others[i]]), ...odd];
    odd.push(...others.sort((a, b) => cosine(a.embedding, middle) - cosine(b.embedding, middle)));
    left = kept;
  }
  return odd;
}

/** Which clips are in the second of two groups: spherical 2-means (Dhillon and Modha 2001). */
function twoGroups(clips: EnrolledClip[]): boolean[] {
  const rows = clips.map((clip) => clip.embedding);
  let [first, last, lowest] = [0, 1, Infinity];
  rows.forEach((a, i) =>
    rows.forEach((b, j) => {
      const value = cosine(a, b);
      if (i < j && value < lowest) [first, last, lowest] = [i, j, value];
    }),
  );
  let second = rows.map((row) => cosine(row, rows[last]) > cosine(row, rows[first]));
  second[first] = false;
  second[last] = true;
  for (let step = 0; step < STEPS; step++) {
    const centres = [false, true].map((flag) => mean(rows.filter((_, i) => second[i] === flag)));
    const moved = rows.map((row) => cosine(row, centres[1]) > cosine(row, centres[0]));
    if (moved.every(Boolean) || !moved.some(Boolean) || moved.every((f, i) => f === second[i])) break;
    second = moved;
  }
  return second;
}
