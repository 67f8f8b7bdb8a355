/**
 * What a command may touch of the process, so that tests can hand it something else.
 */
import type { Readable, Writable } from 'node:stream';
import type { Environment } from '../arguments/parse.ts';

export interface Io {
  readonly env: Environment;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP, and by an error that nobody awaits. */
  readonly signal: AbortSignal;
}
