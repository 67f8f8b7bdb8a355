/**
 * The digest of rows: equal for the same rows, another for any change that is not of their place.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createRowsDigest, type RowsDigest } from '../../src/data/digest.ts';
import { parseRow } from '../../src/data/row.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const root = temporaryFolder();
writeFileSync(join(root, 'a.png'), 'four');

const digestOf = (rows: readonly object[], base = root): RowsDigest => {
  const digest = createRowsDigest();
  for (const [index, row] of rows.entries()) digest.add(parseRow(row, { index, where: `rows.jsonl:${index}`, base }));
  return digest.digest();
};
const row = (changes: object = {}): object => ({
  query: '<image>what?',
  images: ['a.png'],
  solution: 'red',
  ...changes,
});
const other = row({ solution: 'blue' });

describe('digest of rows', () => {
  test('is that of the rows and their order', () => {
    expect(digestOf([row(), other])).toEqual(digestOf([row(), other]));
    expect(digestOf([row(), other]).rows).toBe(2);
    expect(digestOf([other, row()]).sha256).not.toBe(digestOf([row(), other]).sha256);
  });

  test.each<[string, object]>([
    ['a column', row({ solution: 'green' })],
    ['a further column', row({ level: 1 })],
    ['the question', row({ query: '<image>which?' })],
    ['the name of an image', row({ images: ['b.png'] })],
    ['an image within the row', row({ images: [{ bytes: [1, 2, 3] }] })],
    ['tools', row({ tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] })],
  ])('changes with %s', (_, changed) => {
    expect(digestOf([changed]).sha256).not.toBe(digestOf([row()]).sha256);
  });

  test('covers every byte of images and columns that hold bytes', () => {
    const withBytes = (last: number): object =>
      row({ images: [{ bytes: Buffer.from([1, last]) }], mask: Uint8Array.of(9, last) });
    expect(digestOf([withBytes(2)])).toEqual(digestOf([withBytes(2)]));
    expect(digestOf([withBytes(3)]).sha256).not.toBe(digestOf([withBytes(2)]).sha256);
    const masked = (last: number): object => row({ mask: Uint8Array.of(9, last) });
    expect(digestOf([masked(3)]).sha256).not.toBe(digestOf([masked(2)]).sha256);
  });

  test('changes with the size of an image file, and not with the folder that holds it', () => {
    const here = digestOf([row()]);
    const elsewhere = temporaryFolder();
    writeFileSync(join(elsewhere, 'a.png'), 'four');
    expect(digestOf([row()], elsewhere)).toEqual(here);
    writeFileSync(join(elsewhere, 'a.png'), 'fours');
    expect(digestOf([row()], elsewhere).sha256).not.toBe(here.sha256);
  });

  test('refuses a column that is nested too deeply', () => {
    const deep: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000));
    expect(() => digestOf([row({ deep })])).toThrow(/nested too deeply/);
  });
});
