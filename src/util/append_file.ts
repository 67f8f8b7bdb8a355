/**
 * A file that only grows, by whole records. A record that cannot be written now (disk full) is kept and written again
 * with the next one. The file never contains half a record.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';

export class AppendFile {
  readonly #fd: number;
  #size: number;
  #waiting: Uint8Array[] = [];

  /** Opens the file, or creates it. Existing content stays. */
  constructor(readonly path: string) {
    this.#fd = openSync(path, 'a');
    this.#size = fstatSync(this.#fd).size;
  }

  /** Number of records that are not on disk yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Writes the record after the waiting ones. Throws the system error; the record then waits too. */
  append(record: Uint8Array | string): void {
    this.#waiting.push(typeof record === 'string' ? Buffer.from(record) : record);
    this.flush();
  }

  /** Tries again to write the waiting records. Throws the system error. */
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
