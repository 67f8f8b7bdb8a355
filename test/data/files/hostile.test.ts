/**
 * Files that are cut off, damaged or not what their name says: one error with a place and a next step, and never a hang.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openDataset } from '../../../src/data/dataset.ts';
import { messagesOf } from '../../../src/data/files/arrow_messages.ts';
import { openRowFile } from '../../../src/data/files/open.ts';
import { openRandomAccess } from '../../../src/data/files/random_access.ts';
import { SightlineError } from '../../../src/errors.ts';
import { temporaryFolder } from '../../helpers/folder.ts';

const root = temporaryFolder();
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(root, name), content);
  return join(root, name);
}

/** Reads every row; rows with faults of their own are passed over, and anything but a SightlineError fails the test. */
async function readAll(path: string): Promise<{ rows: number; error: SightlineError | null }> {
  let rows = 0;
  try {
    const opened = await openRowFile(path);
    for await (const { value } of opened.rows()) {
      try {
        value();
        rows++;
      } catch (error) {
        if (!(error instanceof SightlineError)) throw error;
      }
    }
    opened.release();
    return { rows, error: null };
  } catch (error) {
    if (!(error instanceof SightlineError)) throw error;
    expect(error.hint).toBeTruthy();
    return { rows, error };
  }
}

const BINARY = ['snappy.parquet', 'zstd.parquet', 'groups.parquet', 'saved/data-00000-of-00002.arrow', 'plain.feather'];

describe.each(BINARY)('%s', (name) => {
  const bytes = readFileSync(fixture(name));

  test('cut off anywhere is an error that says so', async () => {
    const lengths = Array.from({ length: 60 }, (_, i) => Math.floor((i * bytes.length) / 60));
    // The file format of Arrow has a footer behind the mark of the stream's end, which is not needed.
    const whole = name.endsWith('.feather') ? bytes.lastIndexOf(END_OF_STREAM) : bytes.length;
    for (const length of [...lengths, bytes.length - 1].filter((each) => each < whole)) {
      const { error } = await readAll(file(basename(name), bytes.subarray(0, length)));
      expect([length, error?.code]).toEqual([length, 'E_DATASET_FORMAT']);
      expect(error!.where).toContain(basename(name));
    }
  });
});

/**
 * The libraries believe counts in places that are not checked here: in the metadata of an Arrow message, and in levels of
 * Parquet that are not compressed. Damage there may make them count to 2^31; these tests keep to the rest.
 */
describe.each(['snappy.parquet', 'zstd.parquet', 'saved/data-00000-of-00002.arrow', 'plain.feather'])('%s', (name) => {
  const bytes = readFileSync(fixture(name));

  test('with damaged bytes gives rows or an error, in time', async () => {
    const places = await damageable(fixture(name), bytes);
    const damage = fc.array(fc.tuple(fc.nat(places.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    let errors = 0;
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const damaged = Buffer.from(bytes);
        for (const [place, byte] of changes) damaged[places[place]!] = byte;
        if ((await readAll(file(basename(name), damaged))).error !== null) errors++;
      }),
      { numRuns: 150, seed: 7 },
    );
    expect(errors).toBeGreaterThan(10);
  }, 60_000);
});

const END_OF_STREAM = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/** Positions of bytes: all of a Parquet file, and the prefixes and bodies of Arrow's messages. */
async function damageable(path: string, bytes: Buffer): Promise<number[]> {
  const all = Array.from({ length: bytes.length }, (_, i) => i);
  if (path.endsWith('.parquet')) return all;
  const opened = openRandomAccess(path);
  const messages = await messagesOf(opened);
  opened.release();
  const metadata = messages.map(({ at }) => [at + 8, at + 8 + bytes.readInt32LE(at + 4)] as const);
  const end = messages.at(-1)!;
  return all.filter((i) => i < end.at + end.size && !metadata.some(([from, to]) => i >= from && i < to));
}

describe('texts', () => {
  test('any text with the ending of a format gives rows or an error', async () => {
    const pieces = fc.constantFrom(
      '"',
      ',',
      '\n',
      '\r\n',
      '[',
      ']',
      '{',
      '}',
      ':',
      '\\',
      'a',
      ' ',
      '1',
      '\t',
      'é',
      '\ufeff',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(pieces, { maxLength: 40 }),
        fc.constantFrom('csv', 'tsv', 'json', 'jsonl'),
        async (text, ending) => {
          await readAll(file(`any.${ending}`, text.join('')));
        },
      ),
      { numRuns: 400 },
    );
  });

  test('a JSON array written with any white space gives back its rows, in one chunk or over several', async () => {
    const rows = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(rows, fc.nat(8), async (objects, indent) => {
        const path = file('any.json', JSON.stringify(objects, null, indent));
        const opened = await openRowFile(path);
        const read: unknown[] = [];
        for await (const { value } of opened.rows()) read.push(value());
        opened.release();
        expect(read).toEqual(JSON.parse(JSON.stringify(objects)));
      }),
      { numRuns: 200 },
    );
    const long = Array.from({ length: 3 }, (_, i) => ({ text: '\\"[{'.repeat(400_000), i }));
    expect(await readAll(file('long.json', JSON.stringify(long)))).toEqual({ rows: 3, error: null });
  });

  test('CSV with any cells gives them back', async () => {
    const cell = fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', 'a', ' ', '漢', ';') });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 }), async (cells) => {
        const text = [['x', 'y'], ...cells].map((row) => row.map(quoted).join(',')).join('\r\n');
        const opened = await openRowFile(file('any.csv', text));
        const read: unknown[] = [];
        for await (const { place, value } of opened.rows()) read.push([value(), await opened.read(place)]);
        opened.release();
        expect(read).toEqual(
          cells.map(([x, y]) => [
            { x, y },
            { x, y },
          ]),
        );
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    [
      'ragged.csv',
      'query,solution\nWhat?,1\nHow many, really?,2\n',
      3,
      'E_DATASET_LINE',
      'the row has 3 cells, the header has 2: "query", "solution"',
    ],
    ['short.csv', 'query,solution\nWhat?\n', 2, 'E_DATASET_LINE', 'the row has 1 cell'],
    ['open.csv', 'query,solution\n"What?,1\nb,2\n', 2, 'E_DATASET_LINE', 'a quote is not closed'],
    [
      'inside.csv',
      'query,solution\na 5" screen,1\nb,2\n',
      2,
      'E_DATASET_LINE',
      'a quote stands in a cell that does not begin with one',
    ],
    ['after.csv', 'query,solution\n"a"b,1\n', 2, 'E_DATASET_LINE', 'text follows the quote'],
    ['latin1.csv', Buffer.from('query,solution\nWie groß?,1\n', 'latin1'), 2, 'E_DATASET_LINE', 'not valid UTF-8'],
    ['twice.csv', 'query,query\na,b\n', 1, 'E_DATASET_FORMAT', 'the column "query" twice'],
    ['semicolon.csv', 'query;solution\na;b\n', 1, 'E_DATASET_FORMAT', 'is one cell'],
    [
      'open.json',
      '[{"query": "a"},\n{"query": "b"',
      2,
      'E_DATASET_FORMAT',
      'the file ends before the row that begins on line 2 is closed',
    ],
    ['cut.json', '[{"query": "a"},\n', 2, 'E_DATASET_FORMAT', 'the file ends before the array is closed'],
    ['comma.json', '[{"query": "a"},]', 1, 'E_DATASET_FORMAT', '"]" stands where the array needs a row'],
    ['missing.json', '[{"query": "a"}\n {"query": "b"}]', 1, 'E_DATASET_LINE', 'the row is not valid JSON'],
    ['rest.json', '[{"query": "a"}]\n[]', 2, 'E_DATASET_FORMAT', 'needs its end'],
    ['number.json', '[{"query": "a"},\n7]', 2, 'E_DATASET_ROW', 'the number 7'],
  ])('%s', async (name, content, line, code, message) => {
    const path = file(name, content);
    await expect(openDataset([path])).rejects.toMatchObject({
      code,
      where: `${path}:${line}`,
      message: expect.stringContaining(message),
      hint: expect.stringMatching(/./),
      exitCode: 2,
    });
  });

  test('a ragged row is left out where faults are to be', async () => {
    const path = file('lenient.csv', 'query,solution\na,1\nb\nc,3,4\nd,5\n');
    const dataset = await openDataset([path], { strict: false });
    expect([dataset.length, dataset.droppedCount]).toEqual([2, 2]);
    expect(await dataset.row(1)).toMatchObject({ where: `${path}:5`, columns: { solution: '5' } });
    dataset.close();
  });
});

describe('files that are not what they are called', () => {
  test.each([
    ['text.parquet', '{"query": "a"}\n', 'E_DATASET_FORMAT', 'the file is not parquet'],
    ['empty.arrow', '', 'E_DATASET_FORMAT', 'the file is not arrow'],
    ['table.xlsx', 'PK', 'E_DATASET_FORMAT', 'not read'],
    ['rows.jsonl.gz', Buffer.from([0x1f, 0x8b]), 'E_DATASET_FORMAT', 'not read'],
    [
      'pointer.parquet',
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n',
      'E_LFS_POINTER',
      'Git LFS pointer',
    ],
    ['secret.parquet', Buffer.from('PAR1 secrets PARE'), 'E_DATASET_FORMAT', 'encrypted'],
  ])('%s', async (name, content, code, message) => {
    await expect(openDataset([file(name, content)])).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test('a Parquet file under another name is read as what it is', async () => {
    const path = file('table.data', readFileSync(fixture('image.parquet')));
    const dataset = await openDataset([path]);
    expect(await dataset.row(2)).toMatchObject({ where: `${path} row 3`, columns: { answer: 'blue' } });
    dataset.close();
  });

  test('LZ4 in Arrow is refused by name', async () => {
    await expect(openDataset([fixture('lz4.feather')])).rejects.toMatchObject({
      code: 'E_DATASET_FORMAT',
      message: expect.stringContaining('compressed with LZ4'),
    });
  });
});
