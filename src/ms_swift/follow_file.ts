/**
 * Reads the lines of a text file while another process writes it.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

export interface FollowedFile {
  /** Lines completed since the last call. A carriage return of a progress bar ends a line as well. */
  next(): string[];
  /** The last line, if it is not complete yet, as that of a progress bar. */
  unfinished(): string;
  /** Like `next`, including a last line without an end. */
  rest(): string[];
}

/** The file may be created later. */
export function followFile(path: string): FollowedFile {
  const decoder = new StringDecoder('utf8');
  const chunk = Buffer.alloc(1 << 16);
  let position = 0;
  let open = '';

  function read(): string {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
      throw error;
    }
    try {
      let text = '';
      for (;;) {
        const bytes = readSync(fd, chunk, 0, chunk.length, position);
        if (bytes === 0) return text;
        position += bytes;
        text += decoder.write(chunk.subarray(0, bytes));
      }
    } finally {
      closeSync(fd);
    }
  }

  const next = (): string[] => {
    const lines = (open + read()).split(/\r\n|\n|\r/);
    open = lines.pop()!;
    return lines;
  };
  return {
    next,
    unfinished: () => open,
    rest: () => {
      const lines = next();
      const last = open;
      open = '';
      return last === '' ? lines : [...lines, last];
    },
  };
}
