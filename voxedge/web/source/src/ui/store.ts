/** The people who were enrolled on this device: one gallery file for each model, in IndexedDB. */
import { PageError } from "../errors";

const DATABASE = "voxedge";
const STORE = "galleries"; // digest of the model file -> bytes of the gallery file

export type Bytes = Uint8Array<ArrayBuffer>;

export async function load(digest: string): Promise<Bytes | null> {
  return ((await run("readonly", (store) => store.get(digest))) as Bytes | undefined) ?? null;
}

export async function store(digest: string, bytes: Bytes): Promise<void> {
  await run("readwrite", (galleries) => galleries.put(bytes, digest));
}

export async function forget(digest: string): Promise<void> {
  await run("readwrite", (galleries) => galleries.delete(digest));
}

async function run(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest,
): Promise<unknown> {
  try {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await done(opening);
    const transaction = database.transaction(STORE, mode);
    const request = act(transaction.objectStore(STORE));
    const result = await done(request);
    database.close();
    return result;
  } catch (error) {
    throw new PageError(
      `The browser's storage cannot be used: ${(error as Error).message}`,
      "Leave the private window, or export the gallery to a file.",
    );
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
