/**
 * Counts what a run will hold on a graphics processor: makes its largest step on a device that computes nothing. Needs no
 * adapter and no weights. What is allocated, and when, is up to the code of the run itself.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { createGenerator } from '../engine/generation.ts';
import type { BatchPlan } from '../grpo/batching.ts';
import type { RolloutPrompt, Sampling } from '../grpo/rollout.ts';
import type { Reward } from '../rewards/reward.ts';
import { openCounted } from '../runtime/counted.ts';
import { plural } from '../util/plural.ts';
import { createRandom } from '../util/random.ts';
import { closing } from '../util/resources.ts';
import type { RunContext } from './events.ts';
import type { StepParts } from './experience.ts';
import { createJournal } from './journal.ts';
import { shown } from './memory_check.ts';
import { type MemoryPart, totalOf } from './memory_need.ts';
import type { Policy, PreparedPolicy } from './policy.ts';
import { neverStopping, rehearseStep } from './rehearsed_step.ts';
import { checkRlhfDevice } from './run_memory.ts';
import { createUpdater, type UpdateOptions } from './update.ts';

export interface CountedRun {
  readonly args: RlhfArguments;
  readonly plan: BatchPlan;
  readonly policy: PreparedPolicy;
  /** A reference with weights of its own. */
  readonly reference: PreparedPolicy | null;
  readonly rewards: readonly Reward[];
  readonly sampling: Sampling;
  readonly updating: UpdateOptions;
}

/**
 * The parts of a device's memory after a step with these prompts and completions that never stop, and what the largest run takes
 * besides. Rewards are not called, so the forwards that they make themselves are not counted.
 */
export async function rlhfDeviceMemory(run: CountedRun, prompts: readonly RolloutPrompt[]): Promise<MemoryPart[]> {
  const { device, largestRun } = await openCounted();
  const policy = await run.policy.sized(device);
  const reference = (await run.reference?.sized(device)) ?? null;
  const { gradients, trained, moments } = await makeLargestStep(run, prompts, policy, reference);
  await Promise.all([policy.model.release(), reference?.model.release()]);
  const { bytes, peak, use } = device.memory()!;
  const known = [...use.values()].reduce((sum, each) => sum + each, 0);
  const part = (what: string, likely: number, least = 0): MemoryPart => ({ what, least, likely });
  // What a device keeps in float32 although it is held in another form is uploaded when it is first used.
  const weights = bytesOf(use, 'held') + bytesOf(use, 'uploaded') - trained;
  return [
    part('frozen weights', weights, weights),
    part('trained weights', trained, trained),
    part('gradients', gradients, gradients),
    part("AdamW's moments", moments, moments),
    ...[...groupedBytes(use)].map(([what, likely]) => part(what, likely)),
    part('kept for later tensors', bytes - known + (peak - bytes)),
    part(`${INSIDE}, ${largestRun()?.name}`, largestRun()?.bytes ?? 0),
  ].filter(({ likely }) => likely > 0);
}

/** What is not in tensors of the device. */
export const INSIDE = 'inside the largest run';

/** Makes it twice, on the policy's device. Returns what its device held for training before. */
export async function makeLargestStep(
  { args, plan, rewards, sampling, updating }: CountedRun,
  prompts: readonly RolloutPrompt[],
  policy: Policy,
  ofItsOwn: Policy | null,
): Promise<{ readonly gradients: number; readonly trained: number; readonly moments: number }> {
  return closing(async (keep) => {
    const { device } = policy.model;
    const allocated = (): number => bytesOf(device.memory()!.use, 'allocated');
    const gradients = allocated();
    const trained = bytesOf(device.memory()!.use, 'uploaded');
    const updater = keep(await createUpdater(policy.parameters, updating));
    const moments = allocated() - gradients;
    const random = createRandom(args.seed);
    const sampler = { generator: keep(createGenerator(policy.model)), template: policy.template, sampling, random };
    const silent = (): void => undefined;
    const parts: StepParts = {
      args,
      plan,
      policy,
      reference: args.beta === 0 ? null : (ofItsOwn ?? { model: await policy.reference() }),
      moving: null,
      sampler: neverStopping(sampler),
      judging: (step) => ({
        rewards: rewards.map((reward) => ({ ...reward, orm: UNEQUAL })),
        model: policy.model,
        attnProbe: args.attnProbe === 'auto' ? 'fused' : args.attnProbe,
        normBbox: args.normBbox ?? policy.modelConfig.architecture.normBbox,
        logger: { debug: silent, info: silent, warn: silent },
        step,
        maxSteps: 1,
      }),
      journal: createJournal({ emit: silent }),
      signal: new AbortController().signal,
    };
    // Buffers that a step leaves are there while the next one samples.
    for (let steps = 0; steps < 2; steps++) await rehearseStep(prompts, parts, updater);
    return { gradients, trained, moments };
  });
}

/**
 * Tells what a step of a dry run takes, and warns where it is expected to take more than `--device_memory`.
 * Error: E_MEMORY, where it takes more in any case.
 */
export async function foretellDevice(
  run: CountedRun,
  prompts: readonly RolloutPrompt[],
  { emit }: Pick<RunContext, 'emit'>,
): Promise<void> {
  const { args, plan } = run;
  const parts = await rlhfDeviceMemory(run, prompts);
  const { likely } = totalOf(parts);
  const sizes = `${plural(plan.promptsPerRollout, 'prompt')} (the longest has ${prompts[0]!.ids.length} tokens) x ${plan.numGenerations} completions of ${args.maxCompletionLength} tokens`;
  const unknown = args.deviceMemory === null ? '; --device_memory GIB compares it with that of a card' : '';
  const text = `dry run: a step of ${sizes} takes about ${gib(likely)} GiB of device memory: ${shown(parts, 'likely')}${unknown}`;
  if (args.dryRun) await emit({ type: 'notice', level: 'info', text });
  const warning = checkRlhfDevice(args, plan, parts);
  if (warning !== null) await emit({ type: 'notice', level: 'warn', text: warning });
}

// --- internal ---

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);

/** In place of every reward: values that differ within a group, so that all of it is learned from. */
const UNEQUAL: Reward['orm'] = { call: (completions) => completions.map((_, i) => i % 2) };

const bytesOf = (use: ReadonlyMap<string, number>, name: string): number => use.get(name) ?? 0;

/** Names of buffers, and what they are to users; the first that fits. */
const GROUPS: readonly (readonly [RegExp, string])[] = [
  [/^recorded\./, 'rows recorded for backward'],
  [/^text\.\d+\./, 'rows kept for backward'],
  [/^kv\./, 'keys and values'],
  [/^vision\.tape/, 'rows kept of the vision tower'],
  [/^vision\./, 'the vision tower'],
  [/^(held|uploaded|allocated)$/, ''],
  [/^/, 'rows of a layer and of a chunk'],
];

function groupedBytes(use: ReadonlyMap<string, number>): Map<string, number> {
  const groups = new Map<string, number>();
  for (const [name, bytes] of use) {
    const [, what] = GROUPS.find(([pattern]) => pattern.test(name))!;
    if (what !== '') groups.set(what, (groups.get(what) ?? 0) + bytes);
  }
  return groups;
}
