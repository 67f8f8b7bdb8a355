/**
 * Parts that hold files, processes or buffers, and their end. Knows how to close them, not what they are.
 */

export type Closable = { close(): void | Promise<void> } | { release(): Promise<void> };

/** Runs with a function that keeps parts; when the run ends, well or badly, they are closed, the last one first. */
export async function closing<T>(run: (keep: <Part extends Closable>(part: Part) => Part) => Promise<T>): Promise<T> {
  const kept: Closable[] = [];
  try {
    return await run((part) => {
      kept.push(part);
      return part;
    });
  } finally {
    for (const part of kept.reverse()) await ('close' in part ? part.close() : part.release());
  }
}
