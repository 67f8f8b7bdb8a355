/**
 * Files as pyarrow, pandas and datasets write them (make.py beside this file), against the rows that these read in them.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { filesOf } from '../../../src/data/files/folder.ts';
import { openRowFile } from '../../../src/data/files/open.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const expected = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown[]
>;

/** Bytes as make.py writes them. */
function shown(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shown(inner)]));
}

describe.each(Object.keys(expected))('%s', (name) => {
  test('has the rows that were written, in order and one by one', async () => {
    const rows: unknown[] = [];
    const again: unknown[] = [];
    for (const path of filesOf(fixture(name))) {
      const file = await openRowFile(path);
      const places = [];
      for await (const { place, value } of file.rows()) {
        rows.push(shown(value()));
        places.push(place);
      }
      file.release();
      const read = new Map<number, unknown>();
      for (const [i, place] of [...places.entries()].reverse()) read.set(i, shown(await file.read(place)));
      again.push(...places.map((_, i) => read.get(i)));
      file.release();
    }
    expect(rows).toEqual(expected[name]);
    expect(again).toEqual(expected[name]);
  });
});
