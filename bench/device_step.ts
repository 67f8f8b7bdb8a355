/**
 * One step of GRPO on a device, part by part, with the bytes that cross between the device and the process. The reward costs
 * nothing, and rows are recorded while completions are sampled, as in a run.
 */
import { createGenerator } from '../src/engine/generation.ts';
import { mapCompletions } from '../src/engine/groups.ts';
import { groupAdvantages } from '../src/grpo/advantages.ts';
import { countStep, grpoLoss } from '../src/grpo/loss.ts';
import { logpsOf } from '../src/grpo/rollout.ts';
import type { Device } from '../src/runtime/device.ts';
import { openPolicy } from '../src/train/policy.ts';
import { stopsAndBans } from '../src/train/sampling.ts';
import { createUpdater } from '../src/train/update.ts';
import { createRandom } from '../src/util/random.ts';
import { COMPLETIONS, LOSS, syntheticPrompt, UPDATES } from './steps.ts';

export interface DeviceStepSizes {
  readonly visualTokens: number;
  /** Of each of 8 completions. */
  readonly tokens: number;
}

export interface PartOfStep {
  readonly name: string;
  readonly ms: number;
  /** Bytes. */
  readonly toDevice: number;
  readonly fromDevice: number;
}

/** Makes a step that compiles the kernels, and one that is measured. */
export async function measureDeviceStep(
  model: string,
  device: Device,
  { visualTokens, tokens }: DeviceStepSizes,
): Promise<PartOfStep[]> {
  const policy = await openPolicy({ model, attnImpl: 'sdpa', trainable: true, gradientCheckpointing: true, device });
  const generator = createGenerator(policy.model);
  const { parameters } = policy;
  const updater = await createUpdater(parameters, UPDATES);
  const random = createRandom(0);
  const { bannedIds } = stopsAndBans(policy, []);

  async function step(label: string): Promise<PartOfStep[]> {
    const parts: PartOfStep[] = [];
    const part = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
      const [before, start] = [{ ...device.traffic }, performance.now()];
      const result = await run();
      const ms = performance.now() - start;
      const { toDevice, fromDevice } = device.traffic;
      parts.push({ name, ms, toDevice: toDevice - before.toDevice, fromDevice: fromDevice - before.fromDevice });
      return result;
    };
    const prompt = syntheticPrompt(visualTokens, policy, random.fork(label), label);
    await part('vision', () => policy.model.images.encode(prompt.images, false));
    const sampled = await part('rollout', () =>
      generator.generate([prompt], {
        count: COMPLETIONS,
        maxNewTokens: tokens,
        temperature: 1,
        stopIds: [],
        bannedIds,
        random: random.fork(label),
        keep: true,
      }),
    );
    const groups = mapCompletions(sampled.groups, ({ finished, ...completion }) => ({
      ...completion,
      text: '',
      truncated: !finished,
    }));
    const logps = logpsOf({ groups });
    const totals = logps.map((_, i) => i % 2);
    const { advantages } = groupAdvantages(totals, COMPLETIONS, { scaleRewards: 'group' });
    const settings = { ...LOSS, maxCompletionLength: tokens };
    const counts = countStep([logps.map(({ length }) => length)]);
    const { dLogps } = grpoLoss({ logps, oldLogps: null, refLogps: null, advantages }, settings, counts);
    const cotangent = Float32Array.from(dLogps.flatMap((row) => [...row]));
    await part('backward', () => policy.model.backward(sampled.tape!, cotangent));
    await part('optimiser', () => updater.update());
    return parts;
  }

  try {
    await step('warm-up');
    return await step('measured');
  } finally {
    await Promise.all([generator.release(), updater.release()]);
    await policy.close();
  }
}

/** @param note what was told of the device */
export function deviceStepText(
  parts: readonly PartOfStep[],
  note: string,
  { visualTokens, tokens }: DeviceStepSizes,
): string {
  const sum = (pick: (part: PartOfStep) => number): number => parts.reduce((total, part) => total + pick(part), 0);
  const step = {
    name: 'step',
    ms: sum(({ ms }) => ms),
    toDevice: sum((p) => p.toDevice),
    fromDevice: sum((p) => p.fromDevice),
  };
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(2);
  const rows = [
    ['part', 'ms', 'MiB to device', 'MiB back'],
    ...[...parts, step].map(({ name, ms, toDevice, fromDevice }) => [
      name,
      ms.toFixed(0),
      mib(toDevice),
      mib(fromDevice),
    ]),
  ];
  return [
    note,
    `one prompt with ${visualTokens} visual tokens, ${COMPLETIONS} completions of ${tokens} tokens`,
    ...rows.map(([name, ...cells]) => name!.padEnd(12) + cells.map((cell) => cell.padStart(15)).join('')),
  ].join('\n');
}
