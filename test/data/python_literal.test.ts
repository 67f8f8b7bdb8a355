/**
 * Python's notation of values, against what ast.literal_eval reads and refuses (files/make.py).
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openDataset } from '../../src/data/dataset.ts';
import { parsePythonLiteral } from '../../src/data/python_literal.ts';

const cases = JSON.parse(readFileSync(new URL('files/literals.json', import.meta.url), 'utf8')) as {
  text: string;
  value?: unknown;
}[];

test.each(cases.map(({ text, value }) => [text, value] as const))('%j', (text, value) => {
  expect(parsePythonLiteral(text)).toEqual(value);
});

test('any text is a value or none', () => {
  const pieces = fc.constantFrom(
    '[',
    ']',
    '(',
    ')',
    '{',
    '}',
    ',',
    ':',
    "'",
    '"',
    '\\',
    'x41',
    'a',
    '1',
    '.',
    ' ',
    'None',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (text) => {
      parsePythonLiteral(text.join(''));
    }),
    { numRuns: 2000 },
  );
  expect(parsePythonLiteral('['.repeat(100_000))).toBeUndefined();
});

test('messages that pandas wrote into a CSV are read', async () => {
  const path = fileURLToPath(new URL('files/fixtures/python.csv', import.meta.url));
  const dataset = await openDataset([path], { checkImages: false });
  const texts = await Promise.all([0, 1].map(async (i) => (await dataset.row(i)).messages[0]?.content));
  expect(texts.map((content) => (content as readonly { text?: string }[])[1]?.text)).toEqual([
    'it\'s "quoted"',
    'a\\b\n\t漢字 🙂\x07',
  ]);
  dataset.close();
});
