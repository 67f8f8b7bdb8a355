/**
 * The one error a user is meant to read: what is wrong, where, and what to do next.
 * Everything else that is thrown is a bug of ours and keeps its stack.
 */
import { cleanText } from './util/clean_text.ts';
import { diskHint } from './util/disk_hint.ts';

export interface ErrorDetails {
  /** Where it was found: a file, a line, a flag, a row. */
  readonly where?: string;
  /** The next step for the reader. */
  readonly hint?: string;
  /** Exit code of the process if nobody catches it; 2 is bad usage or bad input. */
  readonly exitCode?: number;
  readonly cause?: unknown;
}

/**
 * A fault of the input, told in three parts.
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
    /** Stable machine-readable code, `E_` and capitals. */
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

/** The lines shown to a user: no stack, no code of ours, and nothing that names and values in it could tell a terminal. */
export function formatError(error: SightlineError): string {
  const lines = [`error: ${error.message}`];
  if (error.where !== undefined) lines.push(`  at: ${error.where}`);
  if (error.hint !== undefined) lines.push(`  fix: ${error.hint}`);
  return cleanText(lines.join('\n'));
}

/**
 * A system's error that writing met, as the user's: `what`, the system's words, and the next step. Any other one as it is.
 *
 * @param details a hint in it takes the place of the usual one
 */
export function explainDisk(error: unknown, code: string, what: string, details: ErrorDetails): unknown {
  const hint = diskHint(error);
  if (hint === undefined || error instanceof SightlineError) return error;
  return new SightlineError(code, `${what}: ${messageOf(error)}`, { hint, ...details, cause: error });
}

/** Text of anything that was thrown, also of what has none: an object without a prototype, or one whose text throws. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return 'something without a text';
  }
}

/** Whether it is what V8, a WebAssembly module or ONNX Runtime say where the system gives them no memory. */
export function isOutOfMemory(error: unknown): boolean {
  return /^Array buffer allocation failed$|std::bad_alloc|Failed to allocate memory|^WebAssembly\..*Out of memory/.test(
    messageOf(error),
  );
}
