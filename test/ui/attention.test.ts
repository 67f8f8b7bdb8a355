/**
 * Per-token attention over the server: the bytes that the writer has written, decoded as the page decodes them.
 */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { attentionMap } from '../../src/attention_log/values.ts';
import { createAttentionLog } from '../../src/attention_log/writer.ts';
import { narrow, widen } from '../../src/checkpoint/dtypes.ts';
import type { AttentionHead, Group, RunSummary } from '../../src/ui/api.ts';
import { viridis } from '../../src/util/viridis.ts';
import { halfToNumber, IMAGE_ATTENTION, loadAttention } from '../../ui/attention_values.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { completionsLine, writeRun } from './made_runs.ts';
import { serve } from './served.ts';

const folder = temporaryFolder();

test('half-precision numbers are decoded exactly, all 65,536 of them', () => {
  const words = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const expected = new Float32Array(words.length);
  widen('F16', words, expected);
  for (const [bits, value] of expected.entries()) {
    if (!Object.is(halfToNumber(bits), value)) throw new Error(`${bits}: ${halfToNumber(bits)}, expected ${value}`);
  }
});

test('the page gets the maps and numbers of the right completion', async () => {
  const root = join(folder, 'output');
  const rows = ['a', 'b'].map((completion) => ({ completion, reward: 1 }));
  writeRun(join(root, 'v0'), { completions: [completionsLine(1, rows), completionsLine(2, rows)] });
  const grids = [
    [1, 2],
    [2, 1],
  ] as const;
  // [2 tokens, 2 layers, 4 image tokens]
  const weights = Float32Array.from({ length: 16 }, (_, i) => i / 64);
  const entropy = Float32Array.of(0.5, Number.NaN);
  const log = createAttentionLog(join(root, 'v0', 'attention'), 2 ** 20);
  const other = { row: 0, tokens: ['x'], grids, weights: new Float32Array(8), channels: {} };
  log.write(2, [3, 7], [other, { row: 1, tokens: ['to', ' ken'], grids, weights, channels: { entropy } }]);
  const served = await serve([root]);
  const { runs } = await served.json<{ runs: RunSummary[] }>('/api/runs');
  const { id, attentionSteps } = runs[0]!;
  expect(attentionSteps).toEqual([2]);
  const groups = await Promise.all([0, 1].map((group) => served.json<Group>(`/api/runs/${id}/groups/${group}`)));
  expect(groups.map(({ completions }) => completions.map(({ hasAttention }) => hasAttention))).toEqual([
    [false, false],
    [true, true],
  ]);
  const head = await served.json<AttentionHead>(`/api/runs/${id}/completions/3/attention`);
  expect(head).toMatchObject({ tokens: ['to', ' ken'], layers: [3, 7], grids, channels: ['entropy'] });
  const { body } = await served.get(head.url);
  const source = `data:application/octet-stream;base64,${body.toString('base64')}`;
  const values = await loadAttention({ ...head, url: source }, new AbortController().signal);
  const half = (value: number): number => {
    const words = new Uint16Array(1);
    narrow('F16', Float32Array.of(value), words);
    return halfToNumber(words[0]!);
  };
  expect([...values.weights]).toEqual([...weights].map(half));
  expect([...values.channels.get('entropy')!]).toEqual([0.5, Number.NaN]);
  // One token in one layer, the mean of the layers, and the mean of everything. All sums are exact in half precision.
  expect([...attentionMap(values, 1, 0)]).toEqual([8, 9, 10, 11].map((i) => i / 64));
  expect([...attentionMap(values, 0, null)]).toEqual([2, 3, 4, 5].map((i) => i / 64));
  expect([...attentionMap(values, null, null)]).toEqual([6, 7, 8, 9].map((i) => i / 64));
  expect([...values.channels.get(IMAGE_ATTENTION)!]).toEqual([14 / 64, 46 / 64]);

  rmSync(join(root, 'v0', 'attention', 'step-2.bin'));
  expect((await served.get(`/api/runs/${id}/completions/3/attention`)).status).toBe(404);
  expect((await served.get(`/api/runs/${id}/completions/99/attention/values`)).status).toBe(404);
});

test('files of attention outside of the folder are not read', async () => {
  const root = join(folder, 'linked');
  mkdirSync(join(folder, 'elsewhere'));
  createAttentionLog(join(folder, 'elsewhere'), 2 ** 20).write(
    1,
    [0],
    [{ row: 0, tokens: ['secret'], grids: [[1, 1]], weights: Float32Array.of(1), channels: {} }],
  );
  writeRun(join(root, 'v0'), { completions: [completionsLine(1, [{ completion: 'a', reward: 1 }])] });
  symlinkSync(join(folder, 'elsewhere'), join(root, 'v0', 'attention'));
  writeRun(join(root, 'v1'), { completions: [completionsLine(1, [{ completion: 'a', reward: 1 }])] });
  mkdirSync(join(root, 'v1', 'attention'));
  writeFileSync(join(root, 'v1', 'attention', 'step-1.json'), '{"format":1}');
  const served = await serve([root]);
  const { runs } = await served.json<{ runs: RunSummary[] }>('/api/runs');
  expect(runs.map(({ attentionSteps }) => attentionSteps)).toEqual([[], []]);
});

test('viridis begins, passes its middle and ends as matplotlib has it', () => {
  // matplotlib.colormaps['viridis'](x) for x of 0, 0.5 and 1
  expect([viridis(0), viridis(0.5), viridis(1)]).toEqual([
    [0x44, 0x01, 0x54],
    [0x21, 0x91, 0x8c],
    [0xfd, 0xe7, 0x25],
  ]);
  expect([viridis(-1), viridis(2)]).toEqual([viridis(0), viridis(1)]);
});
