/** What evaluations measure besides rewards, with stand-ins for the model and its reference. */
import { describe, expect, test } from 'vitest';
import { type CompletionIds, type Group, mapCompletions, type Prompt } from '../../src/engine/groups.ts';
import { completionsOf, type RolloutGroup } from '../../src/grpo/rollout.ts';
import { createEvaluationScores, scoredGroups } from '../../src/train/evaluation_scores.ts';

/** Two completions of one prompt, and one of another. */
const groups: RolloutGroup[] = [[[5, 6], [7]], [[8, 9, 10]]].map((completions) => ({
  prompt: { ids: Int32Array.of(1), images: [], row: undefined as never } as unknown as RolloutGroup['prompt'],
  completions: completions.map((ids) => ({
    ids: Int32Array.from(ids),
    text: '',
    truncated: false,
    masses: new Map([[3, Float32Array.of(0.5)]]),
  })),
}));

/** Gives a token the log-probability -id / scale / temperature. */
function model(scale: number) {
  const temperatures: number[] = [];
  return {
    temperatures,
    score: async <P extends Prompt, C extends CompletionIds>(
      asked: readonly Group<P, C>[],
      { temperature }: { readonly temperature: number },
    ) => {
      temperatures.push(temperature);
      const logps = ({ ids }: CompletionIds) => Float32Array.from(ids, (id) => -id / scale / temperature);
      return {
        groups: mapCompletions(asked, (c) => ({ ...c, logps: logps(c), entropies: logps(c), masses: new Map() })),
        tape: null,
      };
    },
  };
}

describe('scoredGroups', () => {
  test('scores at the temperature of training, and keeps what sampling has measured', async () => {
    const policy = model(10);
    const scored = await scoredGroups(groups, policy, { temperature: 2, sampledAt: 0 });
    expect(policy.temperatures).toEqual([2]);
    expect(completionsOf({ groups: scored }).map(({ logps }) => [...logps!])).toEqual([
      [-0.25, Math.fround(-0.3)],
      [Math.fround(-0.35)],
      [Math.fround(-0.4), Math.fround(-0.45), -0.5],
    ]);
    expect(completionsOf({ groups: scored }).every(({ masses }) => masses!.get(3)![0] === 0.5)).toBe(true);
  });

  test('scores anew what was sampled at another temperature, and nothing that was sampled at this one', async () => {
    const policy = model(10);
    const first = await scoredGroups(groups, policy, { temperature: 2, sampledAt: 1 });
    expect(await scoredGroups(first, policy, { temperature: 2, sampledAt: 2 })).toBe(first);
    await scoredGroups(first, policy, { temperature: 2, sampledAt: 1 });
    expect(policy.temperatures).toEqual([2, 2]);
  });
});

describe('createEvaluationScores', () => {
  const changes = [
    { logps: Float32Array.of(-1, -2), changed: Float32Array.of(-1.5, -4) },
    null,
    { logps: Float32Array.of(-1, -1, -1), changed: Float32Array.of(-1, -1, 0) },
  ];
  const scored = () => scoredGroups(groups, model(10), { temperature: 1, sampledAt: 0 });
  const k3 = (d: number): number => Math.exp(d) - d - 1;
  const ids = [5, 6, 7, 8, 9, 10];

  test('kl is the mean of k3 over all tokens, however they are batched', async () => {
    const expected = ids.reduce((sum, id) => sum + k3(-id / 5 + id / 10), 0) / ids.length;
    for (const parts of [[await scored()], (await scored()).map((group) => [group])]) {
      const reference = model(5);
      const scores = createEvaluationScores({ temperature: 1, klInReward: false }, reference);
      for (const part of parts) await scores.add(part, null);
      expect(scores.metrics().kl).toBeCloseTo(expected, 6);
      expect(Object.keys(scores.metrics())).toEqual(['kl']);
    }
  });

  test('with --kl_in_reward, it is the mean of the sums of log-ratios over completions', async () => {
    const scores = createEvaluationScores({ temperature: 1, klInReward: true }, model(5));
    await scores.add(await scored(), null);
    const sum = ids.reduce((total, id) => total - id / 10 + id / 5, 0);
    expect(scores.metrics().kl).toBeCloseTo(sum / 3, 6);
  });

  test('without a reference there is no kl; completions without an image do not count', async () => {
    const scores = createEvaluationScores({ temperature: 1, klInReward: false }, null);
    expect(scores.metrics()).toEqual({});
    await scores.add(await scored(), changes);
    const means = [(k3(-0.5) + k3(-2)) / 2, k3(1) / 3];
    const drops = [1.25, -1 / 3];
    const metrics = scores.metrics();
    expect(metrics['perception/visual_kl_mean']).toBeCloseTo((means[0]! + means[1]!) / 2, 6);
    expect(metrics['perception/visual_kl_std']).toBeCloseTo(Math.abs(means[0]! - means[1]!) / Math.SQRT2, 6);
    expect(metrics['perception/visual_drop_mean']).toBeCloseTo((drops[0]! + drops[1]!) / 2, 6);
    expect(metrics).not.toHaveProperty('kl');
  });
});
