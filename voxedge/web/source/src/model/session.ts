/** A model file in ONNX Runtime: WebAssembly with SIMD, on threads where the page may have them. */
import * as ort from "onnxruntime-web/wasm";
import { PageError } from "../errors";
import type { Metadata } from "./metadata";

export interface Outputs {
  logits: Float32Array; // [K]
  probabilities: Float32Array; // [K]
  embedding: Float32Array; // [E], of unit length
}

const MOST_THREADS = 4; // one window of audio does not keep more busy

export class Session {
  private last: Promise<unknown> = Promise.resolve(); // a file and the microphone take turns

  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly metadata: Metadata,
    readonly threads: number,
  ) {}

  /** @throws PageError: ONNX Runtime cannot be loaded, or cannot open the model. */
  static async open(file: Uint8Array, metadata: Metadata, folder: URL): Promise<Session> {
    const threads = self.crossOriginIsolated
      ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1)
      : 1;
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = {
      mjs: new URL("ort-wasm-simd-threaded.mjs", folder).href,
      wasm: new URL("ort-wasm-simd-threaded.wasm", folder).href,
    };
    try {
      const session = await ort.InferenceSession.create(file, {
        executionProviders: ["wasm"],
        logSeverityLevel: 3, // it warns of the default of `lengths`, which is meant
      });
      return new Session(session, metadata, threads);
    } catch (error) {
      throw new PageError(
        `ONNX Runtime cannot open the model: ${String(error).slice(0, 200)}`,
        "Take a browser with WebAssembly SIMD (any of 2021 or later), or load the page anew.",
      );
    }
  }

  /** Run one window of mono samples at the model's rate. */
  run(window: Float32Array): Promise<Outputs> {
    const next = this.last.then(() => this.compute(window));
    this.last = next.catch(() => null);
    return next;
  }

  private async compute(window: Float32Array): Promise<Outputs> {
    const data = asBuffer(window, this.metadata);
    const type = data instanceof Int16Array ? "int16" : "float32";
    const pcm = new ort.Tensor(type, data as Float32Array, [1, data.length]);
    const found = await this.session.run({ pcm });
    const values = (name: string) => (found[name]?.data ?? new Float32Array()) as Float32Array;
    const embedding = values("embedding");
    if (![...embedding, ...values("probabilities")].every(Number.isFinite))
      throw new PageError("The model's answer is not a number.", "Leave this clip out.");
    return { logits: values("logits"), probabilities: values("probabilities"), embedding };
  }
}

/** Mono samples as the input that a device's own buffer has: type, and interleaved channels. */
function asBuffer(window: Float32Array, { input }: Metadata): Float32Array | Int16Array {
  const channels = input.channels ?? 1;
  const int16 = input.dtype === "int16";
  if (!int16 && channels === 1) return window;
  const size = window.length * channels;
  const out = int16 ? new Int16Array(size) : new Float32Array(size);
  window.forEach((value, i) => {
    const scaled = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
    out.fill(int16 ? scaled : value, i * channels, (i + 1) * channels);
  });
  return out;
}
