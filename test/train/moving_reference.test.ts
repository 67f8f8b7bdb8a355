/** A reference that follows the policy, against TRL's callback (test/golden/make/objective.py), and in whole runs. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { parametersOf } from '../../src/engine/parameters.ts';
import { floats } from '../../src/runtime/tensor.ts';
import { createMovingReference } from '../../src/train/moving_reference.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { elementsOf } from '../helpers/parameters.ts';
import { type FlagValues, type TinyProject, tinyProject, tinyRun } from '../helpers/tiny.ts';

const { moved_reference: values } = JSON.parse(
  readFileSync(new URL('../grpo/objective.json', import.meta.url), 'utf8'),
) as { moved_reference: Readonly<Record<'policy' | 'before' | 'after', number[]>> & { readonly alpha: number } };

test('moves the trained tensors when it is due, as in TRL; the others stay', async () => {
  const tensors = (numbers: readonly number[]) =>
    new Map(['trained', 'frozen'].map((name) => [name, floats(Float32Array.from(numbers), [numbers.length])] as const));
  const policy = await parametersOf(tensors(values.policy), (name) => name === 'trained');
  const reference = await parametersOf(tensors(values.before), () => false, { changes: (name) => name === 'trained' });
  let forgotten = 0;
  const moving = await createMovingReference(policy, reference, {
    refModelSyncSteps: 3,
    refModelMixupAlpha: values.alpha,
    forgetImages: () => forgotten++,
  });
  for (const step of [1, 2, 3, 4, 5, 6, 7]) await moving.follow(step);
  const moved = await elementsOf(reference, 'trained');
  const errors = values.after.map((expected, i) => Math.abs(moved[i]! - expected));
  console.log(`moved reference: largest error ${Math.max(...errors).toExponential(2)}`);
  // Two moves of numbers below 1, rounded to float32 three times each.
  expect(Math.max(...errors)).toBeLessThan(6 * 2 ** -24);
  expect([...(await elementsOf(reference, 'frozen'))]).toEqual([...Float32Array.from(values.before)]);
  expect([moving.names, forgotten]).toEqual([['trained'], 2]);
  await moving.release();
});

describe('whole runs', () => {
  const root = temporaryFolder();
  let project: TinyProject;
  beforeAll(async () => {
    project = await tinyProject(root);
  });
  const klOf = async (name: string, changes: FlagValues): Promise<number[]> => {
    const flags = { max_steps: '4', beta: '0.04', reward_funcs: 'letters', freeze_vit: 'false', ...changes };
    return (await tinyRun(project, name, flags)).logs.map(({ kl }) => kl!);
  };

  test('a reference that is the policy of the step before has no KL; one that follows slowly has less than one that stays', async () => {
    const sync = { sync_ref_model: 'true', ref_model_sync_steps: '1' };
    const same = await klOf('same', { ...sync, ref_model_mixup_alpha: '1' });
    expect(Math.max(...same)).toBeLessThan(1e-9);
    const still = await klOf('still', {});
    expect(still.at(-1)).toBeGreaterThan(1e-5);
    const late = await klOf('late', { sync_ref_model: 'true', ref_model_sync_steps: '3', ref_model_mixup_alpha: '1' });
    expect(late.map((kl) => kl > 1e-8)).toEqual([false, true, true, false]);
  });
});
