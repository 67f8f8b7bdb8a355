/**
 * Columns that rewards need and data lacks: told before anything is sampled, for training and evaluation rows alike.
 */
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RewardKwargs } from '../../src/rewards/contract.ts';
import { createRewards, orms } from '../../src/rewards/registry.ts';
import { openTrainingData } from '../../src/train/data.ts';
import { checkRewardColumns } from '../../src/train/reward_columns.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { pictureRow, type TinyProject, tinyProject, tinyRun, writeRows } from '../helpers/tiny.ts';

const root = temporaryFolder();
let files = 0;
/** A dataset of text rows with these columns. */
function dataset(...columns: readonly Record<string, unknown>[]): string {
  const file = join(root, `${files++}.jsonl`);
  writeRows(
    file,
    columns.map((more) => ({ messages: [{ role: 'user', content: 'why?' }], ...more })),
  );
  return file;
}

/** What is said of these files, for rewards that need a solution (`accuracy`) and nothing (`format`). */
async function said(files: { dataset: string[]; valDataset?: string[]; split?: number }, ...names: string[]) {
  const { dataset, valDataset = [], split: splitDatasetRatio = 0 } = files;
  const data = await openTrainingData({ dataset, valDataset, splitDatasetRatio, dataSeed: 1, strict: true });
  try {
    return await checkRewardColumns(createRewards(names.length === 0 ? ['accuracy', 'format'] : names), data.opened);
  } finally {
    data.close();
  }
}

const solved = dataset({ solution: '1' }, { solution: '2', level: 1 });
const unsolved = dataset({ answer: '1' }, { answer: '2', level: 1, solution: null });

describe('checkRewardColumns', () => {
  test('says nothing where every row has what is needed, or nothing is', async () => {
    expect(await said({ dataset: [solved], valDataset: [solved] })).toEqual([]);
    expect(await said({ dataset: [unsolved] }, 'format', 'ddapo_attention')).toEqual([]);
  });

  test('refuses a dataset in which no row has a value there, with the columns that it has', async () => {
    await expect(said({ dataset: [unsolved] })).rejects.toMatchObject({
      code: 'E_REWARD_COLUMN',
      exitCode: 2,
      message: 'reward "accuracy" needs the column "solution", but none of the 2 rows of the dataset has a value in it',
      where: `--dataset ${unsolved}`,
      hint: 'its columns are messages, answer, level; rename one of them, or add "solution" to the rows',
    });
    await expect(said({ dataset: [solved], valDataset: [unsolved] })).rejects.toMatchObject({
      where: `--val_dataset ${unsolved}`,
    });
    await expect(said({ dataset: [unsolved] }, 'accuracy', 'external_r1v_acc')).rejects.toThrow(
      'rewards "accuracy", "external_r1v_acc" need the column "solution"',
    );
  });

  test('a dataset with many columns is named by some of them', async () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`c${i}`, i]));
    await expect(said({ dataset: [dataset(many)] })).rejects.toMatchObject({
      hint: expect.stringContaining('c28, … (41 in all); rename'),
    });
  });

  test('a mix goes on: how many rows lack it, and the first of them', async () => {
    expect(await said({ dataset: [solved, unsolved], split: 0.25 })).toEqual([
      `reward "accuracy" needs the column "solution", but 2 of 4 rows have no value in it (first: ${unsolved}:1). For such a row the reward is null, and only the other rewards count.`,
    ]);
    expect(await said({ dataset: [`${solved}#1`], valDataset: [unsolved, `${solved}#1`] })).toEqual([
      expect.stringContaining(`2 of 3 rows have no value in it (first: ${unsolved}:1)`),
    ]);
  });

  test('only the rows that are taken count', async () => {
    const file = dataset({}, { solution: '1' });
    await expect(said({ dataset: [`${file}#1`] })).rejects.toMatchObject({ code: 'E_REWARD_COLUMN' });
  });
});

describe('in a run', () => {
  let project: TinyProject;
  beforeAll(async () => {
    project = await tinyProject(root);
  });
  afterEach(() => {
    delete orms.hue;
  });

  test('a mix is told of at the start, also where a whole batch lacks the column', async () => {
    const seen: unknown[] = [];
    orms.hue = class Hue {
      static columns = ['hue'];
      call(completions: readonly string[], { hue }: RewardKwargs) {
        seen.push(hue);
        return completions.map((text, i) => ((hue as unknown[])[i] === undefined ? null : text.length));
      }
    };
    const mix = join(root, 'mix.jsonl');
    const rows = Array.from({ length: 6 }, (_, i) => pictureRow(`${i}.png`, `which colour is ${i}?`));
    writeRows(
      mix,
      rows.map((row, i) => (i === 0 ? { ...row, hue: 'red' } : row)),
    );
    const { stdout } = await tinyRun(project, 'mix', {
      dataset: mix,
      reward_funcs: ['hue', 'letters'],
      per_device_train_batch_size: '4', // one row a step
      max_steps: '6',
    });
    expect(stdout).toContain(`reward "hue" needs the column "hue", but 5 of 6 rows have no value in it`);
    expect(stdout.indexOf('5 of 6 rows')).toBeLessThan(stdout.indexOf('step 1/6'));
    expect(seen).toHaveLength(6);
    expect(seen.filter((hue) => (hue as unknown[]).every((value) => value === undefined))).toHaveLength(5);
    expect(seen).toContainEqual(['red', 'red', 'red', 'red']);
  });
});
