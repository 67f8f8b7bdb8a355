/**
 * The parts of the process that a command may use, so that tests can replace them.
 */
import type { Readable, Writable } from 'node:stream';
import type { Environment } from '../arguments/parse.ts';

export interface Io {
  readonly env: Environment;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP, by a closed pipe, and by an unhandled error. */
  readonly signal: AbortSignal;
}
