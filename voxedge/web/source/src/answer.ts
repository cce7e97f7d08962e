/** The answer for a clip, or for the last seconds of a microphone. */
import type { Span } from "./audio/activity";

export type Names = "speakers" | "people"; // of the model file, or those who are enrolled

export interface Guess {
  name: string;
  value: number; // a probability, or a cosine
}

export interface Answer {
  names: Names;
  seconds: number;
  speechSeconds: number;
  windows: number; // over which it is averaged
  speaker: string | null;
  /** Why nobody is named. */
  reason: "no_speech" | "too_little_speech" | "unknown" | "no_threshold" | "nobody_enrolled" | null;
  guesses: Guess[]; // the best five
  known: number | null; // probability that it is one of the file's speakers; null: not known
  least: number | null; // of `known`, or the least cosine; null: there is none
}

export interface Part extends Span {
  speaker: string | null; // null: nobody who is known
}

export interface Heard {
  answer: Answer;
  parts: Part[] | null; // who speaks when, of a long clip
  clip: number; // by which it can be enrolled
  milliseconds: number; // that the answer took
}

export interface Live {
  seconds: number; // heard so far
  level: number; // dBFS
  answer: Answer | null; // null: too little speech
  late: boolean; // the last answer took longer than the time between two
}

export interface PersonSummary {
  name: string;
  clips: number;
  speech: number; // seconds
}

export interface Gallery {
  people: PersonSummary[];
  basis: "people" | "strangers" | "measured" | null; // of the threshold; null: there is none
}

export interface Opened {
  model: string;
  speakers: number; // that the model file knows
  strangers: boolean; // whether it has a threshold for them
  threads: number;
  rate: number; // Hz
  digest: string;
  ownPeople: boolean; // whether a gallery came with the page
  milliseconds: number;
}
