/**
 * Attention by token in runs: the files that a run writes, that they hold what the model attends to, and that logging changes nothing else.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type AttentionIndex, indexName, readIndex, stepOfName, valuesName } from '../../src/attention_log/format.ts';
import { widen } from '../../src/checkpoint/dtypes.ts';
import { isAttentionDue } from '../../src/train/logged_attention.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyProject, type TinyRun, tinyProject, tinyRun } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 6);
});

const stepsIn = (folder: string): number[] =>
  existsSync(join(folder, 'attention'))
    ? readdirSync(join(folder, 'attention'))
        .flatMap((name) => stepOfName(name) ?? [])
        .sort((a, b) => a - b)
    : [];

function readStep(folder: string, step: number): { index: AttentionIndex; values: Float32Array } {
  const bytes = readFileSync(join(folder, 'attention', valuesName(step)));
  const index = readIndex(readFileSync(join(folder, 'attention', indexName(step)), 'utf8'), bytes.length);
  if (typeof index === 'string') throw new Error(index);
  const values = new Float32Array(bytes.length / 2);
  widen('F16', new Uint16Array(new Uint8Array(bytes).buffer), values);
  return { index, values };
}

describe('a run with logged completions', () => {
  const flags = { reward_funcs: ['letters'], max_steps: '5', attn_log_steps: '2', save_steps: '5', beta: '0.1' };
  let run: TinyRun;
  beforeAll(async () => {
    run = await tinyRun(project, 'logged', flags);
  });

  test('logs the first log and every so many steps', () => {
    expect(stepsIn(run.folder)).toEqual([1, 2, 4, 5]);
    expect(run.logs.map((log) => typeof log['attention/image_entropy'])).toEqual([
      'number',
      'number',
      'undefined',
      'number',
      'number',
    ]);
  });

  test('rows, tokens and numbers are those of completions.jsonl', () => {
    const { index } = readStep(run.folder, 2);
    expect(index.layers).toEqual([0, 1]);
    const first = (run.completions.step as string[]).indexOf('2');
    // the first prompt's four, and the best and the worst of the step's eight
    const rewards = run.completions.letters!.slice(first, first + 8) as number[];
    const ends = [rewards.indexOf(Math.max(...rewards)), rewards.lastIndexOf(Math.min(...rewards))];
    const rows = index.completions.map(({ row }) => row);
    expect(rows).toEqual([...new Set([0, 1, 2, 3, ...ends])].sort((a, b) => a - b));
    for (const { row, tokens, grids, channels } of index.completions) {
      expect(grids).toEqual([[2, 3]]);
      expect(channels).toEqual(['visual_share', 'entropy', 'kl', 'advantage']);
      const text = run.completions.completion![first + row] as string;
      expect(tokens.join('').replace(/<\|im_end\|>$/, '')).toBe(text);
      expect(tokens).toHaveLength(run.completions.length![first + row] as number);
    }
  });

  test('weights are shares: they sum up to visual_share, and the channels to what the run logs', () => {
    const { index, values } = readStep(run.folder, 4);
    const first = (run.completions.step as string[]).indexOf('4');
    const half = 2 ** -10; // relative rounding of half precision
    for (const { row, tokens, offset } of index.completions) {
      const [layers, n] = [index.layers.length, 6];
      const weights = values.subarray(offset / 2, offset / 2 + tokens.length * layers * n);
      const channel = (k: number) => {
        const from = offset / 2 + tokens.length * (layers * n + k);
        return [...values.subarray(from, from + tokens.length)];
      };
      for (const [t, share] of channel(0).entries()) {
        const sum = weights.subarray(t * layers * n, (t + 1) * layers * n).reduce((all, weight) => all + weight, 0);
        expect(Math.abs(sum / layers - share)).toBeLessThan(half);
      }
      const mean = (of: number[]) => of.reduce((sum, value) => sum + value, 0) / of.length;
      expect(mean(channel(1))).toBeCloseTo(run.completions.entropy![first + row] as number, 2);
      expect(channel(3)[0]).toBeCloseTo(run.completions.advantages![first + row] as number, 2);
    }
  });

  test('the same weights of the model without it', async () => {
    const without = await tinyRun(project, 'without', { ...flags, attn_log_limit: '0' });
    const weights = ({ folder }: TinyRun) => readFileSync(join(folder, 'checkpoint-5', 'model.safetensors'));
    expect(weights(run).equals(weights(without))).toBe(true);
    expect(stepsIn(without.folder)).toEqual([]);
  });
});

test('a run that is resumed replaces the steps after its checkpoint', async () => {
  const flags = { reward_funcs: ['letters'], attn_log_steps: '1', save_steps: '2' };
  const run = await tinyRun(project, 'resumed', { ...flags, max_steps: '3' });
  const before = readFileSync(join(run.folder, 'attention', valuesName(3)));
  expect(stepsIn(run.folder)).toEqual([1, 2, 3]);
  const again = await tinyRun(project, 'resumed', {
    ...flags,
    max_steps: '4',
    resume_from_checkpoint: join(run.folder, 'checkpoint-2'),
  });
  expect(again.folder).toBe(run.folder);
  expect(stepsIn(run.folder)).toEqual([1, 2, 3, 4]);
  expect(readFileSync(join(run.folder, 'attention', valuesName(3))).equals(before)).toBe(true);
});

test('nothing without images, without logged completions, and with --log_attention false', async () => {
  const flags = { reward_funcs: ['letters'], max_steps: '1' };
  for (const [name, changes] of Object.entries({
    texts: { dataset: project.texts },
    quiet: { log_completions: 'false' },
    off: { log_attention: 'false' },
  })) {
    expect(stepsIn((await tinyRun(project, name, { ...flags, ...changes })).folder), name).toEqual([]);
  }
});

test('a layer that the model has not is refused', async () => {
  await expect(tinyRun(project, 'layer', { attn_log_layers: ['1', '2'] })).rejects.toMatchObject({
    code: 'E_ARGUMENTS',
    message: expect.stringContaining('layer 2, but the model has 2 layers'),
  });
});

test('which steps log attention', () => {
  const due = (loggingSteps: number, attnLogSteps: number, loggingFirstStep = true) =>
    Array.from({ length: 20 }, (_, i) => i + 1).filter((step) =>
      isAttentionDue({ loggingSteps, loggingFirstStep, attnLogSteps }, step, { maxSteps: 20 }),
    );
  expect(due(1, 10)).toEqual([1, 10, 20]);
  expect(due(5, 10)).toEqual([1, 10, 20]);
  expect(due(3, 4, false)).toEqual([3, 6, 9, 12, 18, 20]);
  expect(due(20, 5)).toEqual([1, 20]);
});
