/**
 * A file that only grows, in whole records. A record that cannot be written now (disk full) is kept and tried again
 * with the next one; half a record is never left behind.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';

export class AppendFile {
  readonly #fd: number;
  #size: number;
  #waiting: Uint8Array[] = [];

  /** Opens or makes the file; what it holds stays. */
  constructor(readonly path: string) {
    this.#fd = openSync(path, 'a');
    this.#size = fstatSync(this.#fd).size;
  }

  /** Records that are not on disk yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Writes the record, after those that wait. Throws the system's error; the record then waits. */
  append(record: Uint8Array | string): void {
    this.#waiting.push(typeof record === 'string' ? Buffer.from(record) : record);
    this.flush();
  }

  /** Tries again to write what waits. */
  flush(): void {
    while (this.#waiting.length > 0) {
      const record = this.#waiting[0]!;
      try {
        for (let done = 0; done < record.length; ) done += writeSync(this.#fd, record, done);
      } catch (error) {
        ftruncateSync(this.#fd, this.#size);
        throw error;
      }
      this.#size += record.length;
      this.#waiting.shift();
    }
  }

  close(): void {
    try {
      this.flush();
    } finally {
      closeSync(this.#fd);
    }
  }
}
