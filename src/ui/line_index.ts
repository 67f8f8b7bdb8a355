/**
 * Follows a growing file of lines and keeps where each line is, so that a line can be read again without the rest of the file.
 * Knows bytes and lines, not what they say.
 */
import type { FileHandle } from 'node:fs/promises';
import { isRefusal, type Refusal } from './inside.ts';

export interface LineHandlers {
  /** A complete line, in order. `line` counts from 0. */
  onLine(bytes: Buffer, line: number): void;
  /** The file is another one than before, or has become shorter: all earlier lines are void. */
  onReset(): void;
  /** A line longer than `MAX_LINE`, which is not passed on. */
  onOverlong(line: number): void;
}

export interface LineIndex {
  /** Reads what has been added. Resolves to whether anything has changed. Calls must not overlap. */
  poll(): Promise<boolean>;
  /** The bytes of a line, without its end. A refusal if the file is gone or has been replaced. */
  read(line: number): Promise<Buffer | Refusal>;
  /** Bytes of complete lines read so far, and the size of the file. */
  progress(): { readonly done: number; readonly total: number };
  /** Modification time in milliseconds; null if the file is missing. */
  changedAt(): number | null;
}

/** Longest line that is kept, in bytes. */
export const MAX_LINE = 128 * 2 ** 20;

/** @param open opens the file for reading, or says why not */
export function createLineIndex(open: () => Promise<FileHandle | Refusal>, handlers: LineHandlers): LineIndex {
  let starts: number[] = [];
  let ends: number[] = [];
  let identity: string | null = null;
  let position = 0;
  let size = 0;
  let changedAt: number | null = null;
  let pieces: Buffer[] = [];
  let held = 0;
  let lineStart = 0;
  let isOverlong = false;

  function reset(): void {
    const hadLines = starts.length > 0;
    starts = [];
    ends = [];
    pieces = [];
    held = position = lineStart = 0;
    isOverlong = false;
    if (hadLines) handlers.onReset();
  }

  function endLine(end: number): void {
    const line = starts.length;
    starts.push(lineStart);
    ends.push(end);
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    const wasOverlong = isOverlong;
    pieces = [];
    held = 0;
    isOverlong = false;
    lineStart = end + 1;
    if (wasOverlong) handlers.onOverlong(line);
    else handlers.onLine(bytes, line);
  }

  function take(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length) {
      const newline = chunk.indexOf(NEWLINE, from);
      const to = newline < 0 ? chunk.length : newline;
      held += to - from;
      if (held > MAX_LINE) {
        isOverlong = true;
        pieces = [];
      }
      // A copy, because the chunk's memory is used again for the next one.
      if (!isOverlong) pieces.push(Buffer.from(chunk.subarray(from, to)));
      if (newline < 0) break;
      endLine(position + newline);
      from = newline + 1;
    }
    position += chunk.length;
  }

  return {
    async poll() {
      const handle = await open();
      if (isRefusal(handle)) {
        const wasThere = changedAt !== null;
        changedAt = null;
        return wasThere;
      }
      try {
        const stats = await handle.stat();
        const now = `${stats.dev}:${stats.ino}`;
        let hasChanged = changedAt === null;
        if (identity !== now || stats.size < position) {
          reset();
          identity = now;
          hasChanged = true;
        }
        size = stats.size;
        changedAt = stats.mtimeMs;
        if (position >= size) return hasChanged;
        const chunk = Buffer.allocUnsafe(Math.min(CHUNK, size - position));
        while (position < size) {
          const { bytesRead } = await handle.read(chunk, 0, Math.min(chunk.length, size - position), position);
          if (bytesRead === 0) break;
          take(chunk.subarray(0, bytesRead));
        }
        return true;
      } finally {
        await handle.close();
      }
    },
    async read(line) {
      const [start, end] = [starts[line], ends[line]];
      if (start === undefined || end === undefined) return 'missing';
      const handle = await open();
      if (isRefusal(handle)) return handle;
      try {
        const stats = await handle.stat();
        if (`${stats.dev}:${stats.ino}` !== identity || stats.size < end) return 'missing';
        const bytes = Buffer.allocUnsafe(end - start);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
        return bytesRead === bytes.length ? bytes : 'missing';
      } finally {
        await handle.close();
      }
    },
    progress: () => ({ done: Math.min(position, size), total: size }),
    changedAt: () => changedAt,
  };
}

// --- internal ---

const NEWLINE = 10;
const CHUNK = 1 << 20;
