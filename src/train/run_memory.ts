/**
 * The parts of each command's memory, and the flags that lower them.
 */
import type { InferArguments, RlhfArguments, ScoreArguments, SftArguments } from '../arguments/resolve.ts';
import type { BatchPlan } from '../grpo/batching.ts';
import type { RolloutPrompt } from '../grpo/rollout.ts';
import { machineMemory } from '../util/machine_memory.ts';
import type { RunContext } from './events.ts';
import { checkMemory, deviceMemory, type MemoryAdvice } from './memory_check.ts';
import {
  changedImageMemory,
  forwardMemory,
  learningMemory,
  type MeasuredPolicy,
  type MemoryPart,
  programMemory,
  samplingMemory,
  totalOf,
  trainingMemory,
  weightsMemory,
} from './memory_need.ts';
import type { Example } from './sft_examples.ts';

export interface RlhfMemory {
  readonly policy: MeasuredPolicy;
  readonly reference: MeasuredPolicy | null;
  /** The first prompt, taken as typical of the others; null if its row is skipped. */
  readonly first: RolloutPrompt | null;
  /** Whether completions are scored under changed images. */
  readonly changesImages: boolean;
  /** Whether it runs on a device with memory of its own; default false. */
  readonly hasOwnMemory?: boolean;
}

type RlhfSizes = Pick<RlhfArguments, 'numGenerations' | 'maxCompletionLength' | 'gradientCheckpointing'>;

export function rlhfMemory(args: RlhfSizes, plan: BatchPlan, memory: RlhfMemory): MemoryPart[] {
  const { policy, reference, first, changesImages, hasOwnMemory = false } = memory;
  const weights = [
    programMemory(),
    weightsMemory('weights', policy),
    ...(reference === null ? [] : [weightsMemory('the reference', reference)]),
  ];
  // What is computed, and what is trained, is in the memory of the device.
  if (hasOwnMemory) return weights;
  const sizes = {
    prompts: plan.promptsPerRollout,
    promptTokens: first?.ids.length ?? 0,
    completions: args.numGenerations,
    completionTokens: args.maxCompletionLength,
  };
  const groups = plan.microBatchSize / plan.numGenerations;
  const rows = Math.ceil(groups) * sizes.promptTokens + plan.microBatchSize * sizes.completionTokens;
  const learning = learningMemory(policy, rows, args.gradientCheckpointing);
  return [
    ...weights,
    ...trainingMemory(policy),
    ...samplingMemory(policy, sizes),
    ...learning,
    ...(changesImages && first !== null
      ? changedImageMemory(policy, sizes, first.images, totalOf(learning).likely)
      : []),
  ];
}

type SftSizes = Pick<SftArguments, 'perDeviceTrainBatchSize' | 'gradientCheckpointing'>;

/** @param first the first row, taken as typical of the others; null if it is skipped */
export function sftMemory(args: SftSizes, policy: MeasuredPolicy, first: Example | null): MemoryPart[] {
  const rows = first === null ? 0 : args.perDeviceTrainBatchSize * (first.group.prompt.ids.length + first.tokens);
  return [
    programMemory(),
    weightsMemory('weights', policy),
    ...trainingMemory(policy),
    ...learningMemory(policy, rows, args.gradientCheckpointing),
  ];
}

export function inferMemory(
  args: Pick<InferArguments, 'maxNewTokens'>,
  policy: MeasuredPolicy,
  promptTokens: number,
): MemoryPart[] {
  const sizes = { prompts: 1, promptTokens, completions: 1, completionTokens: args.maxNewTokens };
  return [
    programMemory(),
    weightsMemory('weights', policy),
    ...samplingMemory(policy, sizes),
    forwardMemory(policy, promptTokens),
  ];
}

export function scoreMemory(policy: MeasuredPolicy, tokens: number): MemoryPart[] {
  return [programMemory(), weightsMemory('weights', policy), forwardMemory(policy, tokens)];
}

/** Errors: E_MEMORY. */
export async function checkRlhfMemory(
  args: RlhfArguments,
  plan: BatchPlan,
  memory: RlhfMemory,
  context: Pick<RunContext, 'emit'>,
): Promise<void> {
  await check(args, rlhfMemory(args, plan, memory), context, {
    lowerLeast: [...(memory.reference === null ? [] : ['set --beta 0, which needs no reference']), ...frozen(args)],
    lowerRest: [
      'lower --per_device_train_batch_size, --max_completion_length or --max_pixels',
      ...(args.gradientCheckpointing === true ? [] : ['set --gradient_checkpointing true']),
    ],
  });
}

/**
 * Compares what a run will hold on its device with `--device_memory`, and returns a warning; null without one of them.
 * Error: E_MEMORY.
 */
export function checkRlhfDevice(args: RlhfArguments, plan: BatchPlan, parts: readonly MemoryPart[]): string | null {
  if (args.deviceMemory === null || !args.checkMemory) return null;
  return checkMemory(parts, deviceMemory(args.deviceMemory), { model: args.model, ...deviceAdvice(args, plan) });
}

/** What lowers the memory that a run takes on its device. */
export function deviceAdvice(args: RlhfArguments, plan: BatchPlan): Omit<MemoryAdvice, 'model'> {
  const isLora = args.tunerType === 'lora';
  return {
    lowerLeast: [
      ...(args.beta !== 0 && !isLora ? ['set --beta 0, which needs no reference'] : []),
      ...(isLora ? [] : ['train an adapter, with --tuner_type lora']),
      ...(isLora && args.quantBits !== 4 ? [`set --quant_bits ${args.quantBits === null ? '8 or 4' : '4'}`] : []),
    ],
    lowerRest: [
      ...(args.gradientCheckpointing === true ? [] : ['set --gradient_checkpointing true']),
      ...(plan.microBatchSize > plan.numGenerations
        ? ['lower --per_device_train_batch_size and raise --gradient_accumulation_steps by the same factor']
        : []),
      'lower --num_generations, --max_completion_length or --max_pixels',
    ],
  };
}

/** Errors: E_MEMORY. */
export async function checkSftMemory(
  args: SftArguments,
  { policy, first }: { readonly policy: MeasuredPolicy; readonly first: Example | null },
  context: Pick<RunContext, 'emit'>,
): Promise<void> {
  await check(args, sftMemory(args, policy, first), context, {
    lowerLeast: frozen(args),
    lowerRest: [
      'lower --per_device_train_batch_size or --max_pixels',
      ...(args.gradientCheckpointing === true ? [] : ['set --gradient_checkpointing true']),
    ],
  });
}

/** Errors: E_MEMORY. */
export async function checkInferMemory(
  args: InferArguments,
  { policy, promptTokens }: { readonly policy: MeasuredPolicy; readonly promptTokens: number },
  context: Pick<RunContext, 'emit'>,
): Promise<void> {
  const lowerRest = ['lower --max_new_tokens or --max_pixels'];
  await check(args, inferMemory(args, policy, promptTokens), context, { lowerLeast: [], lowerRest });
}

/**
 * Errors: E_MEMORY.
 *
 * @param tokens number of tokens that are scored at once, estimated from the first row
 */
export async function checkScoreMemory(
  args: ScoreArguments,
  { policy, tokens }: { readonly policy: MeasuredPolicy; readonly tokens: number },
  context: Pick<RunContext, 'emit'>,
): Promise<void> {
  const lowerRest = ['lower --per_device_eval_batch_size or --max_pixels'];
  await check(args, scoreMemory(policy, tokens), context, { lowerLeast: [], lowerRest });
}

// --- internal ---

async function check(
  args: { readonly model: string; readonly checkMemory: boolean },
  parts: readonly MemoryPart[],
  { emit }: Pick<RunContext, 'emit'>,
  advice: Omit<MemoryAdvice, 'model'>,
): Promise<void> {
  if (!args.checkMemory) return;
  const warning = checkMemory(parts, machineMemory(), { model: args.model, ...advice });
  if (warning !== null) await emit({ type: 'notice', level: 'warn', text: warning });
}

/** Advice to freeze more parts, because gradients and moments take three times the memory of their weights. */
function frozen(args: Pick<RlhfArguments, 'freezeVit' | 'freezeAligner' | 'freezeLlm'>): string[] {
  const trained = [
    ...(args.freezeVit ? [] : ['--freeze_vit true']),
    ...(args.freezeAligner ? [] : ['--freeze_aligner true']),
    ...(args.freezeLlm ? [] : ['--freeze_llm true']),
  ];
  return trained.length < 2 ? [] : [`train less, with ${trained.join(' or ')}`];
}
