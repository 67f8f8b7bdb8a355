/**
 * Reads a text file that another process writes, as it grows. Knows lines, not what they say.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

export interface FollowedFile {
  /** Lines that were completed since the last call; a progress bar's carriage return ends one too. */
  next(): string[];
  /** What has been read of a line that is not complete, such as a progress bar's. */
  unfinished(): string;
  /** As `next`, with what is left, once no more is written. */
  rest(): string[];
}

/** The file need not be there yet. */
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
