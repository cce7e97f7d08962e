/** An error that is shown: what was found, and what to do about it. */
export class PageError extends Error {
  constructor(
    message: string,
    readonly hint = "",
  ) {
    super(message);
  }
}

/** Any error as its two parts. */
export function parts(error: unknown): { message: string; hint: string } {
  if (error instanceof PageError) return { message: error.message, hint: error.hint };
  const message = error instanceof Error ? error.message : String(error);
  return { message, hint: "" };
}
