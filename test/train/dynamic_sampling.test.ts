/** Dynamic sampling: which groups stay, what belongs to them, and whole runs that draw further prompts. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Completion, RolloutGroup, RolloutPrompt } from '../../src/grpo/rollout.ts';
import { type JudgedRollout, replaceEqualGroups } from '../../src/train/dynamic_sampling.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { readWeights, type TinyProject, tinyProject, tinyRun, weightDifference } from '../helpers/tiny.ts';

/** A batch of groups of two, with these totals; the tape stands for one that sampling has kept. */
function batch(name: string, totals: readonly (number | null)[]): JudgedRollout {
  const groups = Array.from({ length: totals.length / 2 }, (_, g): RolloutGroup => {
    const completion = (k: number) => ({ text: `${name}${g}/${k}` }) as Completion;
    return { prompt: { text: `${name}${g}` } as RolloutPrompt, completions: [completion(0), completion(1)] };
  });
  return {
    rollout: { groups, tape: {} as never },
    judged: {
      columns: [{ name: 'r', label: 'R', weight: 1, values: [...totals], spoke: name === 'b' }],
      totals,
      metrics: name === 'b' ? { logged: 3 } : {},
      extras: new Map(name === 'b' ? [['note', totals.map((_, i) => i)]] : []),
    },
  };
}

describe('groups with equal rewards', () => {
  const prompts = ({ rollout }: JudgedRollout): string[] => rollout.groups.map(({ prompt }) => prompt.text);

  test('if there are none, nothing is drawn and the tape stays', async () => {
    const first = batch('a', [1, 2, 3, 4]);
    const made = await replaceEqualGroups(first, 3, () => expect.fail('nothing is to be drawn'));
    expect(made).toMatchObject({ batches: 1, isComplete: true });
    expect(made.rollout).toBe(first.rollout);
  });

  test('are replaced by those that follow, with all that belongs to them; the rest is cut', async () => {
    const made = await replaceEqualGroups(batch('a', [1, 1, 3, 4]), 3, async () => batch('b', [5, 5, 6, 7, 8, 9]));
    expect(prompts(made)).toEqual(['a1', 'b1']);
    expect(made.judged.totals).toEqual([3, 4, 6, 7]);
    expect(made.judged.columns[0]).toMatchObject({ values: [3, 4, 6, 7], spoke: true });
    expect(made.judged.extras.get('note')).toEqual([null, null, 2, 3]);
    expect(made.judged.metrics).toEqual({ logged: 3 });
    expect(made).toMatchObject({ batches: 2, isComplete: true, rollout: { tape: null } });
  });

  test('a group with less than two rewards has no difference', async () => {
    const made = await replaceEqualGroups(batch('a', [1, null, null, null]), 1, async () => batch('c', [1, 2, 3, 5]));
    expect(prompts(made)).toEqual(['c0', 'c1']);
  });

  test('the groups of the last batch count, too; if they do not suffice, the first batch stays as it was', async () => {
    const drawn: number[] = [];
    const draw = async (number: number): Promise<JudgedRollout> => {
      drawn.push(number);
      return batch('c', number === 2 ? [1, 2, 3, 3] : [4, 4, 3, 3]);
    };
    const enough = await replaceEqualGroups(batch('a', [0, 1, 1, 1]), 2, draw);
    expect(prompts(enough)).toEqual(['a0', 'c0']);
    const short = await replaceEqualGroups(batch('a', [1, 1, 1, 1]), 2, draw);
    expect(prompts(short)).toEqual(['a0', 'a1']);
    expect(short).toMatchObject({ batches: 3, isComplete: false, rollout: { tape: null } });
    expect(drawn).toEqual([1, 2, 1, 2]);
  });
});

describe('whole runs', () => {
  const root = temporaryFolder();
  let project: TinyProject;
  let flat: string;
  beforeAll(async () => {
    project = await tinyProject(root);
    flat = join(root, 'flat.ts');
    // Equal within a group for every other row.
    writeFileSync(
      flat,
      `import { orms } from 'sightline';
class Sometimes {
  call(completions, { solution }) {
    return completions.map((text, i) => (Number(solution[i]) % 4 === 0 ? 1 : text.length));
  }
}
class Never {
  call(completions) { return completions.map(() => 1); }
}
orms.sometimes = Sometimes;
orms.never = Never;
`,
    );
  });
  const run = (name: string, reward: string, changes = {}) =>
    tinyRun(project, name, {
      ...{ external_plugins: flat, reward_funcs: reward, dataset: project.texts, dynamic_sample: 'true' },
      ...changes,
    });

  test('draws until groups differ, and learns the same however the step is cut', async () => {
    const whole = await run('whole', 'sometimes');
    for (const log of whole.logs) expect([log.frac_reward_zero_std, log.num_gen_batches! >= 1]).toEqual([0, true]);
    expect(Math.max(...whole.logs.map((log) => log.num_gen_batches!))).toBeGreaterThan(1);
    const parts = await run('parts', 'sometimes', {
      ...{ per_device_train_batch_size: '4', gradient_accumulation_steps: '2' },
    });
    expect(parts.completions.completion).toEqual(whole.completions.completion);
    const weights = ({ folder }: { folder: string }) => readWeights(join(folder, 'checkpoint-2'));
    expect(weightDifference(weights(parts), weights(whole))).toBeLessThan(1e-4);
  });

  test('says so where no group differs', async () => {
    const { logs, stdout, stderr } = await run('never', 'never', { max_resample_times: '2', max_steps: '1' });
    expect(logs[0]).toMatchObject({ frac_reward_zero_std: 1, num_gen_batches: 3 });
    expect(stdout + stderr).toContain('after 3 batches of prompts too few groups have rewards that differ');
  });
});
