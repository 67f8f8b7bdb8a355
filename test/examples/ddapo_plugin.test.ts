import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { OrmConstructor, RewardArgs } from '../../src/rewards/contract.ts';
import { DDAPOAttentionORM } from '../../src/rewards/ddapo_attention/index.ts';
import { loadPlugins } from '../../src/rewards/plugin.ts';
import { createRewards, ormFiles, orms } from '../../src/rewards/registry.ts';
import { runRewards } from '../../src/rewards/run.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { FakePolicy, flatAttention, rewardKwargs } from '../helpers/reward_kwargs.ts';

const file = fileURLToPath(new URL('../../examples/train/grpo/plugin/plugin.ts', import.meta.url));
const root = temporaryFolder();
const builtIn = orms.ddapo_attention;
afterEach(() => {
  orms.ddapo_attention = builtIn as OrmConstructor;
  ormFiles.delete('ddapo_attention');
});

/** Rewards of two completions whose image pads get 0.1 and 0.2 of the attention, 0.1 each other column; and what is said. */
async function judged(args: RewardArgs = {}) {
  let n = 0;
  const policy = new FakePolicy({ _attn_implementation: 'sdpa' }, ({ input_ids }) => ({
    logits: null,
    attentions: [flatAttention(input_ids[0]!, [0.1, 0.2][n++ % 2]!, 0.1)],
  }));
  const kwargs = rewardKwargs(2, policy);
  const [column] = await runRewards(createRewards(['ddapo_attention'], args), ['a', 'b'], kwargs);
  return { column: column!, lines: kwargs.lines.filter((line) => !line.startsWith('debug')) };
}

test('takes the place of the built-in reward, says nothing of it, and gives what that gives', async () => {
  expect(builtIn).toBe(DDAPOAttentionORM);
  const forms: RewardArgs[] = [{}, { ddapo_reward_center: true }, { ddapo_group_norm: true }];
  const expected = await Promise.all(forms.map(judged));
  const warnings: string[] = [];
  await loadPlugins([file], { warn: (text) => warnings.push(text) });
  expect([...ormFiles].filter(([, from]) => from === file)).toEqual([['ddapo_attention', file]]);
  expect(warnings).toEqual([]);
  expect(orms.ddapo_attention).not.toBe(builtIn);
  expect(createRewards(['ddapo_attention'])[0]).toMatchObject({
    label: 'DDAPOAttentionORM',
    needs: ['attention'],
    file,
  });
  expect(await Promise.all(forms.map(judged))).toEqual(expected);
  expect(expected[0]!.column.values).toEqual([expect.closeTo(-1, 4), expect.closeTo(-0.5, 4)]);
});

test('a copy with a form of its own is what judges', async () => {
  const copy = join(root, 'mine.ts');
  const given = 'return super.rewardsOf(ratios, groupSize);';
  const source = readFileSync(file, 'utf8');
  expect(source).toContain(given);
  writeFileSync(copy, source.replace(given, 'return ratios.map((tdr) => (tdr === null ? null : 1 / tdr));'));
  await loadPlugins([copy]);
  expect((await judged()).column.values).toEqual([expect.closeTo(1, 4), expect.closeTo(2, 4)]);
});
