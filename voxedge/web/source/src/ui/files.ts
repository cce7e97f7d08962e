/** The recordings that a user chooses or drops, folders with all that is in them. */

const AUDIO = /\.(wav|flac|ogg|oga|opus|mp3|m4a|aac|mp4|webm|weba|mov|3gp)$/i;

/** Of many files those that may be audio, in the order of their paths; a single file as it is. */
export function audioFiles(files: File[]): File[] {
  if (files.length === 1) return files;
  return files
    .filter((file) => AUDIO.test(file.name) || file.type.startsWith("audio/"))
    .sort((a, b) => path(a).localeCompare(path(b)));
}

/** A file's path within the folder that was chosen. */
export function path(file: File): string {
  return file.webkitRelativePath || file.name;
}

/** All files of what was dropped. */
export async function dropped(transfer: DataTransfer): Promise<File[]> {
  const items = Array.from(transfer.items).filter((item) => item.kind === "file");
  const found = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  return (await Promise.all(found.map(within))).flat();
}

async function within(entry: FileSystemEntry | File | null): Promise<File[]> {
  if (!entry) return [];
  if (entry instanceof File) return [entry];
  if (entry.isFile)
    return [await new Promise<File>((give, fail) => (entry as FileSystemFileEntry).file(give, fail))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((give, fail) => reader.readEntries(give, fail));
    if (!some.length) break; // a folder is listed a hundred entries at a time
    found.push(...some);
  }
  return (await Promise.all(found.map(within))).flat();
}
