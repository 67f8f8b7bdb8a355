/**
 * Reads JSONL: one JSON object per line.
 */
import { parseJsonRow } from './json_text.ts';
import { readLines } from './lines.ts';
import type { RandomAccess } from './random_access.ts';
import { lineOf, type Place, type RowFile } from './row_file.ts';

export function openJsonl(file: RandomAccess): RowFile {
  const where = (place: Place): string => lineOf(file.path, place);
  return {
    path: file.path,
    where,
    async *rows() {
      for await (const { number, begin, bytes } of readLines(file)) {
        const place = { at: begin, size: bytes.length, number };
        yield { place, bytes: bytes.length, value: () => parseJsonRow(bytes, 'line', where(place)) };
      }
    },
    read: async (place) => parseJsonRow(await file.read(place.at, place.size), 'line', where(place)),
    release: file.release,
  };
}
