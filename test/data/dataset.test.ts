import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDataset } from '../../src/data/dataset.ts';
import type { Row } from '../../src/data/row.ts';

const dir = mkdtempSync(join(tmpdir(), 'dataset-'));
let files = 0;
function file(content: string | Uint8Array, name = `${files++}.jsonl`): string {
  writeFileSync(join(dir, name), content);
  return join(dir, name);
}
const row = (question: string, more: object = {}): string =>
  JSON.stringify({ messages: [{ role: 'user', content: question }], ...more });
async function rowsOf(spec: string): Promise<Row[]> {
  const dataset = await openDataset([spec], { checkImages: false });
  const rows = await Promise.all(Array.from({ length: dataset.length }, (_, i) => dataset.row(i)));
  dataset.close();
  return rows;
}

describe('reading', () => {
  test('rows, line numbers and columns; blank lines are skipped', async () => {
    const path = file(`${row('a', { solution: '1' })}\n\n  \n${row('b', { solution: 2, extra: { deep: [1] } })}`);
    const rows = await rowsOf(path);
    expect(rows.map(({ index, where, columns }) => ({ index, where, columns }))).toEqual([
      { index: 0, where: `${path}:1`, columns: { solution: '1' } },
      { index: 1, where: `${path}:4`, columns: { solution: 2, extra: { deep: [1] } } },
    ]);
  });

  test('byte order mark and CRLF', async () => {
    const path = file(`\uFEFF${row('ä')}\r\n${row('漢字 🙂')}\r\n`);
    const dataset = await openDataset([path]);
    expect([await dataset.row(0), await dataset.row(1)].map((one) => one.messages[0]?.content)).toEqual([
      'ä',
      '漢字 🙂',
    ]);
    dataset.close();
  });

  test('lines longer than a read, and a long one, by position too', async () => {
    const sizes = [10, 1 << 20, (1 << 20) - 60, 3_000_000, 5];
    const path = file(sizes.map((size, i) => row(String(i).repeat(size))).join('\n'));
    const dataset = await openDataset([path]);
    expect(dataset.length).toBe(sizes.length);
    for (const [i, size] of sizes.entries())
      expect((await dataset.row(i)).messages[0]?.content).toBe(String(i).repeat(size));
    dataset.close();
  });

  test('path#n takes the first n rows; several files follow one another', async () => {
    const first = file([row('a'), row('b'), row('c')].join('\n'));
    const second = file(row('d'), 'with#1.jsonl.jsonl');
    const dataset = await openDataset([`${first}#2`, second]);
    expect(dataset.length).toBe(3);
    const all = await Promise.all([0, 1, 2].map((i) => dataset.row(i)));
    expect(all.map(({ messages }) => messages[0]?.content)).toEqual(['a', 'b', 'd']);
    expect(all.map(({ index }) => index)).toEqual([0, 1, 2]);
    dataset.close();
    expect((await openDataset([`${first}#99`])).length).toBe(3);
  });

  test('a __proto__ column is a column and nothing else', async () => {
    const [one] = await rowsOf(file(`{"messages":[{"role":"user","content":"a"}],"__proto__":{"polluted":1}}`));
    expect(Object.keys(one!.columns)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(one!.columns)).toBe(Object.prototype);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  test('notes are plural, with the first row that has one', async () => {
    const path = file([row('a'), row('<image>'), row('<image><image>', { images: ['a.png'] })].join('\n'));
    const dataset = await openDataset([path], { checkImages: false });
    expect(dataset.notes).toEqual([{ note: 'more tags than images', count: 2, where: `${path}:2` }]);
    dataset.close();
  });

  test('duplicate rows are kept', async () => {
    expect((await rowsOf(file([row('a'), row('a')].join('\n')))).length).toBe(2);
  });
});

describe('faults name file and line', () => {
  const good = row('a');
  const cases: [string, string | Uint8Array, string, number, string?][] = [
    ['cut last line', `${good}\n${good.slice(0, 20)}`, 'E_DATASET_LINE', 2, 'not valid JSON'],
    ['not JSON', `${good}\n${good}\noops\n`, 'E_DATASET_LINE', 3],
    ['NaN', `{"messages":[{"role":"user","content":"a"}],"x":NaN}`, 'E_DATASET_LINE', 1],
    [
      'invalid UTF-8',
      Buffer.concat([Buffer.from(`${good}\n{"q": "`), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
      'E_DATASET_LINE',
      2,
    ],
    ['a number', `${good}\n7`, 'E_DATASET_ROW', 2],
    ['no messages', `{"solution": 1}`, 'E_DATASET_ROW', 1, 'solution'],
    ['messages not a list', `{"messages": "hi"}`, 'E_DATASET_ROW', 1],
    ['an unknown role', `{"messages":[{"role":"<|im_end|>","content":"a"}]}`, 'E_DATASET_ROW', 1],
    ['content missing', `{"messages":[{"role":"user"}]}`, 'E_DATASET_ROW', 1],
    ['a video', row('what?', { videos: ['a.mp4'] }), 'E_MEDIA_UNSUPPORTED', 1],
    ['a URL', row('<image>?', { images: 'https://example.com/a.png' }), 'E_IMAGE_URL', 1],
  ];
  test.each(cases)('%s', async (_name, content, code, line, text = '') => {
    const path = file(content);
    await expect(rowsOf(path)).rejects.toMatchObject({
      code,
      where: `${path}:${line}`,
      message: expect.stringContaining(text),
    });
  });

  test('a missing image file is found when the dataset is opened', async () => {
    const path = file(`${good}\n${row('<image>?', { images: ['nowhere.png'] })}`);
    await expect(openDataset([path])).rejects.toMatchObject({ code: 'E_IMAGE_MISSING', where: `${path}:2` });
    expect((await openDataset([path], { checkImages: false })).length).toBe(2);
  });

  test('an image that is none is found when the dataset is opened, the first one of the file', async () => {
    writeFileSync(join(dir, 'text.png'), 'no image');
    const images = ['text.png', 'nowhere.png'];
    const path = file([good, ...images.map((image) => row('<image>?', { images: [image] }))].join('\n'));
    await expect(openDataset([path])).rejects.toMatchObject({ code: 'E_IMAGE_FORMAT', where: `${path}:2` });
    const lenient = await openDataset([path], { strict: false });
    expect(lenient.dropped.map(({ where, code }) => [where, code])).toEqual([
      [`${path}:2`, 'E_IMAGE_FORMAT'],
      [`${path}:3`, 'E_IMAGE_MISSING'],
    ]);
    // rows after the last one that is asked for are nobody's fault
    expect((await openDataset([`${path}#1`])).length).toBe(1);
  });

  test('strict: false drops and counts', async () => {
    const path = file([row('a'), 'oops', row('a', { images: 7 }), row('b')].join('\n'));
    const dataset = await openDataset([path], { strict: false });
    expect(dataset.length).toBe(2);
    expect(dataset.droppedCount).toBe(2);
    expect(dataset.dropped.map(({ where, code }) => [where, code])).toEqual([
      [`${path}:2`, 'E_DATASET_LINE'],
      [`${path}:3`, 'E_IMAGE_SOURCE'],
    ]);
    expect([await dataset.row(0), await dataset.row(1)].map(({ messages }) => messages[0]?.content)).toEqual([
      'a',
      'b',
    ]);
    dataset.close();
    await expect(openDataset([file('oops')], { strict: false })).rejects.toMatchObject({ code: 'E_DATASET_EMPTY' });
  });

  test('files that are no datasets', async () => {
    const code = (expected: string) => expect.objectContaining({ code: expected });
    await expect(openDataset([file('')])).rejects.toEqual(code('E_DATASET_EMPTY'));
    await expect(openDataset([`${file(row('a'))}#0`])).rejects.toEqual(code('E_DATASET_EMPTY'));
    await expect(openDataset([join(dir, 'nowhere.jsonl')])).rejects.toEqual(code('E_DATASET_MISSING'));
    await expect(openDataset([mkdtempSync(join(dir, 'empty-'))])).rejects.toEqual(code('E_DATASET_FOLDER'));
    await expect(openDataset([file('PAR1', 'a.parquet')])).rejects.toEqual(code('E_DATASET_FORMAT'));
  });

  test.skipIf(process.platform === 'win32')(
    'a FIFO does not hang',
    async () => {
      execFileSync('mkfifo', [join(dir, 'pipe.jsonl')]);
      await expect(openDataset([join(dir, 'pipe.jsonl')])).rejects.toMatchObject({ code: 'E_DATASET_UNREADABLE' });
    },
    5000,
  );

  test('a file that changes under the run', async () => {
    const path = file([row('a'), row('b')].join('\n'));
    const dataset = await openDataset([path]);
    writeFileSync(path, 'x');
    await expect(dataset.row(1)).rejects.toMatchObject({ code: 'E_DATASET_CHANGED', where: `${path}:2` });
    dataset.close();
  });
});

test('memory does not grow with the file while it is checked', async () => {
  const path = file(Array.from({ length: 40_000 }, (_, i) => row(`${i} ${'x'.repeat(1000)}`)).join('\n'));
  let [looks, largest, open] = [0, 0, true];
  const look = (): void => {
    looks++;
    largest = Math.max(largest, process.memoryUsage().arrayBuffers);
    if (open) setImmediate(look);
  };
  look();
  const dataset = await openDataset([path]);
  open = false;
  expect(dataset.length).toBe(40_000);
  expect(looks).toBeGreaterThan(20); // once a turn of the event loop; every megabyte read takes one
  expect(largest).toBeLessThan(30e6); // the file has 42 MB
});
