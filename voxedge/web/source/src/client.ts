/** The engine, as the page calls it: every method gives a promise. */
import type { Engine, Event } from "./engine";
import { PageError } from "./errors";

export type Client = {
  [K in keyof Engine]: Engine[K] extends (...given: infer A) => infer R
    ? (...given: A) => Promise<Awaited<R>>
    : never;
};

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** Start the worker; samples that are given to it are moved, not copied. */
export function connect(tell: (event: Event) => void): Client {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const waiting = new Map<number, Waiting>();
  let count = 0;
  worker.onmessage = ({ data }) => {
    if (data.event) return tell(data.event as Event);
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) call?.reject(new PageError(data.error.message, data.error.hint));
    else call?.resolve(data.result);
  };
  worker.onerror = (event) => {
    const error = new PageError(`The page's worker failed: ${event.message}`, "Load the page again.");
    for (const call of waiting.values()) call.reject(error);
    waiting.clear();
  };
  return new Proxy({} as Client, {
    get:
      (_, method: string) =>
      (...given: unknown[]) =>
        new Promise((resolve, reject) => {
          waiting.set(++count, { resolve, reject });
          const moved = given.filter((each) => each instanceof Float32Array).map((a) => a.buffer);
          worker.postMessage({ id: count, method, given }, moved as ArrayBuffer[]);
        }),
  });
}
