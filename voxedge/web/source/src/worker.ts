/** The worker: calls of `client.ts` go to the engine, one answer for each. */
import { Engine } from "./engine";
import { parts } from "./errors";

const engine = new Engine((event) => self.postMessage({ event }));

self.onmessage = async ({ data }: MessageEvent) => {
  const { id, method, given } = data as { id: number; method: keyof Engine; given: unknown[] };
  try {
    const call = engine[method] as (...given: unknown[]) => unknown;
    self.postMessage({ id, result: await call.apply(engine, given) });
  } catch (error) {
    self.postMessage({ id, error: parts(error) });
  }
};
