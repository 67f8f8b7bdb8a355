/** What is counted of a step on a graphics processor, against sums made here. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRlhfArguments } from '../../src/arguments/arguments.ts';
import { planBatches } from '../../src/grpo/batching.ts';
import { createRewards } from '../../src/rewards/registry.ts';
import { openTrainingData } from '../../src/train/data.ts';
import { rlhfDeviceMemory } from '../../src/train/device_need.ts';
import { type PreparedPolicy, policyOptions, preparePolicy } from '../../src/train/policy.ts';
import { encodePrompt } from '../../src/train/prompts.ts';
import { samplingOf } from '../../src/train/sampling.ts';
import { updateOptions } from '../../src/train/update_options.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyProject, tinyFlags, tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
const opened: PreparedPolicy[] = [];
beforeAll(async () => {
  project = await tinyProject(root, 2);
});
afterAll(async () => {
  for (const policy of opened) await policy.close();
});

/** Likely bytes by part, and the policy. */
async function counted(changes: Record<string, string>) {
  const flags = { external_plugins: undefined, reward_funcs: 'format', device: 'webgpu', ...changes };
  const { args } = readRlhfArguments(tinyFlags(project, flags), {});
  const plan = planBatches(args);
  const policy = await preparePolicy(policyOptions(args, true));
  opened.push(policy);
  const data = await openTrainingData(args);
  const first = await encodePrompt(policy.template)(await data.train.row(0));
  await data.close();
  const run = {
    args,
    plan,
    policy,
    reference: null,
    rewards: createRewards(['format']),
    sampling: samplingOf(args, policy),
  };
  const prompts = Array.from({ length: plan.promptsPerRollout }, () => first);
  const parts = await rlhfDeviceMemory({ ...run, updating: updateOptions(args, 2) }, prompts);
  return { policy, first, plan, bytes: new Map(parts.map(({ what, likely }) => [what, likely])) };
}

const elements = ({ tensors, isTrained }: PreparedPolicy, trained: boolean): number =>
  [...tensors]
    .filter(([name]) => isTrained(name) === trained)
    .reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b, 1), 0);

/** Tensors begin at multiples of 16 bytes. */
const near = (bytes: number | undefined, expected: number, tensors: number): void => {
  expect(bytes).toBeGreaterThanOrEqual(expected);
  expect(bytes).toBeLessThanOrEqual(expected + 16 * tensors);
};

test('full training: weights, a gradient and two moments of each; nothing depends on the values', async () => {
  const { policy, bytes } = await counted({});
  const [frozen, trained] = [elements(policy, false), elements(policy, true)];
  const count = policy.tensors.size;
  near(bytes.get('trained weights'), 4 * trained, count);
  near(bytes.get('gradients'), 4 * trained, count);
  near(bytes.get("AdamW's moments"), 8 * trained, 2 * count);
  expect(bytes.get('frozen weights')).toBeGreaterThanOrEqual(4 * frozen);
  expect((await counted({})).bytes).toEqual(bytes);
});

test('completions twice as long take twice the keys and values of their tokens', async () => {
  const kvOf = async (tokens: string) =>
    (await counted({ max_completion_length: tokens })).bytes.get('keys and values')!;
  // From 128 tokens on, the cache has grown to the full length; beside it lies the one that it was copied from.
  const [short, long] = [await kvOf('128'), await kvOf('256')];
  const { first, plan } = await counted({});
  const perToken = 2 * 4 * 2 * 2 * 8; // keys and values, float32, layers, heads, width of a head
  const prompts = plan.promptsPerRollout * first.ids.length * perToken;
  const own = (tokens: number): number => plan.promptsPerRollout * plan.numGenerations * tokens * perToken;
  for (const [bytes, tokens] of [
    [short, 128],
    [long, 256],
  ] as const) {
    expect(bytes).toBeGreaterThanOrEqual(prompts + own(tokens));
    expect(bytes).toBeLessThanOrEqual(1.125 * (prompts + 2 * own(tokens)) + 2 ** 12);
  }
});

test('an adapter alone has gradients and moments', async () => {
  const { policy, bytes } = await counted({ tuner_type: 'lora', lora_rank: '4' });
  const trained = elements(policy, true);
  near(bytes.get('gradients'), 4 * trained, policy.tensors.size);
  near(bytes.get("AdamW's moments"), 8 * trained, 2 * policy.tensors.size);
});
