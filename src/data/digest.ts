/**
 * A digest of the rows of a dataset, by which a resumed run knows them again. Rows that were moved to another folder have the
 * same digest.
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { invalidRow } from './columns.ts';
import type { ImageSource } from './image_source.ts';
import type { Row } from './row.ts';

export interface RowsDigest {
  readonly rows: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/**
 * Takes rows in their order. The digest covers everything that a row holds, images within it included; of an image in a file
 * of its own it covers the file's name and size, because reading all pictures would take too long.
 *
 * Error of `add`: E_DATASET_ROW for a row that is nested too deeply.
 */
export function createRowsDigest(): { add(row: Row): void; digest(): RowsDigest } {
  const hash = createHash('sha256');
  let rows = 0;
  return {
    add({ messages, images, tools, columns, where }) {
      try {
        hash.update(JSON.stringify([messages, images.map(imageContent), tools, columns], bytesAsDigest));
      } catch (error) {
        // Deep nesting exhausts the call stack. That is a fault of the row, not of this program.
        if (!(error instanceof RangeError)) throw error;
        throw invalidRow('the row is nested too deeply', where, 'remove the column with the deeply nested lists');
      }
      hash.update('\n');
      rows++;
    },
    digest: () => ({ rows, sha256: hash.copy().digest('hex') }),
  };
}

// --- internal ---

function imageContent(image: ImageSource): unknown {
  if (image.kind === 'base64') return image.base64;
  if (image.kind === 'bytes') return image.bytes;
  return { file: basename(image.path), size: statSync(image.path, { throwIfNoEntry: false })?.size ?? null };
}

/** A replacer for JSON.stringify, which would write an array of bytes as an object with a field for each byte. */
function bytesAsDigest(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const original = this[key]; // before a Buffer's own toJSON
  return original instanceof Uint8Array ? { bytes: createHash('sha256').update(original).digest('hex') } : value;
}
