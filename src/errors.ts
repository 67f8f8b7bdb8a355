/**
 * The one error class that users are meant to read: it says what is wrong, where, and what to do next.
 * Any other error that reaches the top is a bug of this program and keeps its stack.
 */
import { cleanText } from './util/clean_text.ts';
import { diskHint } from './util/disk_hint.ts';

export interface ErrorDetails {
  /** Where the fault was found: a file, a line, a flag, a row. */
  readonly where?: string;
  /** The next step for the reader. */
  readonly hint?: string;
  /** Exit code of the process if the error is not caught. The default, 2, means bad usage or bad input. */
  readonly exitCode?: number;
  readonly cause?: unknown;
}

/**
 * A fault of the input, reported in three parts.
 *
 * @example
 * throw new SightlineError('E_IMAGE_MISSING', 'image not found', { where: 'train.jsonl:3', hint: 'check the "images" column' });
 */
export class SightlineError extends Error {
  override readonly name = 'SightlineError';
  readonly where: string | undefined;
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(
    /** Stable machine-readable code: `E_` followed by capitals. */
    readonly code: string,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.where = details.where;
    this.hint = details.hint;
    this.exitCode = details.exitCode ?? 2;
  }
}

/** The lines shown to a user: no stack, no error code, and no control characters (names and values may contain some). */
export function formatError(error: SightlineError): string {
  const lines = [`error: ${error.message}`];
  if (error.where !== undefined) lines.push(`  at: ${error.where}`);
  if (error.hint !== undefined) lines.push(`  fix: ${error.hint}`);
  return cleanText(lines.join('\n'));
}

/**
 * Turns a system error met while writing into a SightlineError: `what`, the system's message, and the next step. Any other
 * error is returned unchanged.
 *
 * @param details a hint given here replaces the usual one
 */
export function explainDisk(error: unknown, code: string, what: string, details: ErrorDetails): unknown {
  const hint = diskHint(error);
  if (hint === undefined || error instanceof SightlineError) return error;
  return new SightlineError(code, `${what}: ${messageOf(error)}`, { hint, ...details, cause: error });
}

/** The message of a thrown value of any kind, even one that cannot be converted to a string. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return 'a value that cannot be converted to text';
  }
}

/** Whether the error is how V8, a WebAssembly module or ONNX Runtime report that the system gave them no memory. */
export function isOutOfMemory(error: unknown): boolean {
  return /^Array buffer allocation failed$|std::bad_alloc|Failed to allocate memory|^WebAssembly\..*Out of memory/.test(
    messageOf(error),
  );
}
