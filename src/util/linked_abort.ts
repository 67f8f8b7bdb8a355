/**
 * An abort controller that also follows another signal until it is unlinked. `AbortSignal.any` has no way to unlink, so each call
 * would leave something behind on a signal that lives as long as the run.
 */

export interface LinkedAbort {
  /** Aborted by `abort`, or when the source is, with its reason. */
  readonly signal: AbortSignal;
  abort(reason: unknown): void;
  /** Stops following the source. */
  unlink(): void;
}

export function linkedAbort(source: AbortSignal): LinkedAbort {
  const controller = new AbortController();
  const follow = (): void => controller.abort(source.reason);
  if (source.aborted) follow();
  else source.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    unlink: () => source.removeEventListener('abort', follow),
  };
}
