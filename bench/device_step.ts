/**
 * One step of GRPO on a device, part by part, with the bytes that cross between the device and the process and the share of time in
 * which the device computes. The reward costs nothing, and rows are recorded while completions are sampled, as in a run.
 */
import { createGenerator } from '../src/engine/generation.ts';
import { mapCompletions } from '../src/engine/groups.ts';
import { exp } from '../src/graph/ops/elementwise.ts';
import { input } from '../src/graph/value.ts';
import { groupAdvantages } from '../src/grpo/advantages.ts';
import { countStep, grpoLoss } from '../src/grpo/loss.ts';
import { logpsOf } from '../src/grpo/rollout.ts';
import type { Device } from '../src/runtime/device.ts';
import { floats } from '../src/runtime/tensor.ts';
import { openPolicy } from '../src/train/policy.ts';
import { stopsAndBans } from '../src/train/sampling.ts';
import { createUpdater } from '../src/train/update.ts';
import { createRandom } from '../src/util/random.ts';
import { covered, type TimedKernel } from './kernel_times.ts';
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

/**
 * Makes a step that compiles the kernels, and one that is measured. Runs return before the device has computed, so each part is followed
 * by a kernel whose result is waited for; it also marks the part among kernels that are timed.
 */
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
  const one = input('one', [1]);
  const mark = await device.compile({ name: 'mark', inputs: { one }, outputs: { [MARK]: exp(one) } });
  const drain = () => mark.run({ one: floats(Float32Array.of(1), [1]) });
  const { bannedIds } = stopsAndBans(policy, []);

  async function step(label: string): Promise<PartOfStep[]> {
    const parts: PartOfStep[] = [];
    const part = async <T>(name: string, run: () => Promise<T>): Promise<T> => {
      await drain();
      const [before, start] = [{ ...device.traffic }, performance.now()];
      const result = await run();
      const { toDevice, fromDevice } = device.traffic;
      await drain();
      const ms = performance.now() - start;
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
    await Promise.all([generator.release(), updater.release(), mark.release()]);
    await policy.close();
  }
}

/** Milliseconds in which the device computed, part by part, of the step that was measured while kernels were timed. */
export function kernelMs(parts: readonly PartOfStep[], kernels: readonly TimedKernel[]): number[] {
  const marks = kernels.filter(({ name }) => name.startsWith(MARK)).slice(-2 * parts.length);
  if (marks.length < 2 * parts.length)
    throw new Error(`${marks.length} marks among the kernels of ${parts.length} parts`);
  return parts.map((_, i) => covered(kernels, { from: marks[2 * i]!.to, to: marks[2 * i + 1]!.from }));
}

/**
 * @param kernels of the parts, in another step like this one; null: the device has no queue
 * @param note what was told of the device
 */
export function deviceStepText(
  parts: readonly PartOfStep[],
  kernels: readonly number[] | null,
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
  const computed = kernels === null ? null : [...kernels, kernels.reduce((total, ms) => total + ms, 0)];
  const rows = [
    ['part', 'ms', 'MiB to device', 'MiB back', ...(computed === null ? [] : ['kernels, ms', 'busy'])],
    ...[...parts, step].map(({ name, ms, toDevice, fromDevice }, i) => [
      name,
      ms.toFixed(0),
      mib(toDevice),
      mib(fromDevice),
      ...(computed === null ? [] : [computed[i]!.toFixed(0), (computed[i]! / ms).toFixed(2)]),
    ]),
  ];
  return [
    note,
    `one prompt with ${visualTokens} visual tokens, ${COMPLETIONS} completions of ${tokens} tokens`,
    ...rows.map(([name, ...cells]) => name!.padEnd(12) + cells.map((cell) => cell.padStart(15)).join('')),
    ...(computed === null ? [] : [BUSY]),
  ].join('\n');
}

/** The output of the kernel around parts. */
const MARK = 'mark of a part';

const BUSY = [
  'kernels: their time by the clock of the device, in a step of its own in which each is timed; copies are none',
  'busy: the time of kernels over the time of the part. It may exceed 1 where the machine was slower in the step that was timed',
].join('\n');
