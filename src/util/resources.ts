/**
 * Closes objects that hold files, processes or buffers. Knows how to close them, not what they are.
 */

export type Closable = { close(): void | Promise<void> } | { release(): Promise<void> };

/** Passes `run` a function that registers resources. When `run` settles, they are closed, the last one first. */
export async function closing<T>(
  run: (keep: <Resource extends Closable>(resource: Resource) => Resource) => Promise<T>,
): Promise<T> {
  const kept: Closable[] = [];
  try {
    return await run((resource) => {
      kept.push(resource);
      return resource;
    });
  } finally {
    for (const resource of kept.reverse()) await ('close' in resource ? resource.close() : resource.release());
  }
}
