/** What is counted without a graphics processor is what one holds, up to some small buffers. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRlhfArguments } from '../../src/arguments/arguments.ts';
import { planBatches } from '../../src/grpo/batching.ts';
import { createRewards } from '../../src/rewards/registry.ts';
import { openWebgpu } from '../../src/runtime/webgpu.ts';
import { openTrainingData } from '../../src/train/data.ts';
import { INSIDE, makeLargestStep, rlhfDeviceMemory } from '../../src/train/device_need.ts';
import { totalOf } from '../../src/train/memory_need.ts';
import { policyOptions, preparePolicy } from '../../src/train/policy.ts';
import { encodePrompt } from '../../src/train/prompts.ts';
import { samplingOf } from '../../src/train/sampling.ts';
import { updateOptions } from '../../src/train/update_options.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { type TinyProject, tinyFlags, tinyProject } from '../helpers/tiny.ts';

const root = temporaryFolder();
const opened: { close(): Promise<void> }[] = [];
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root, 2);
});
afterAll(async () => {
  for (const policy of opened) await policy.close();
});

test.each([{}, { tuner_type: 'lora', lora_rank: '4', beta: '0.04' }])('%o', async (changes) => {
  const flags = { external_plugins: undefined, reward_funcs: 'format', device: 'webgpu', max_completion_length: '20' };
  const { args } = readRlhfArguments(tinyFlags(project, { ...flags, ...changes }), {});
  const plan = planBatches(args);
  const device = await openWebgpu();
  const prepared = await preparePolicy({ ...policyOptions(args, true), device });
  const data = await openTrainingData(args);
  const first = await encodePrompt(prepared.template)(await data.train.row(0));
  await data.close();
  const prompts = Array.from({ length: plan.promptsPerRollout }, () => first);
  const run = {
    ...{ args, plan, policy: prepared, reference: null, rewards: createRewards(['format']) },
    ...{ sampling: samplingOf(args, prepared), updating: updateOptions(args, 2) },
  };
  const parts = await rlhfDeviceMemory(run, prompts);
  const policy = await prepared.load();
  opened.push(policy);
  await makeLargestStep(run, prompts, policy, null);
  const tensors = parts.filter(({ what }) => !what.startsWith(INSIDE));
  const [held, counted] = [device.memory()!.peak, totalOf(tensors).likely];
  console.log(`counted ${counted} bytes, held ${held}`);
  expect(Math.abs(counted / held - 1)).toBeLessThan(0.01);
});
