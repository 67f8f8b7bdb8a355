/**
 * Which runs fit on cards of 8, 12 and 24 GB, by count: a step of GRPO with the shapes of published models, on a device that computes
 * nothing (src/runtime/counted.ts), over checkpoints that have sizes and no weights.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readRlhfArguments } from '../src/arguments/arguments.ts';
import { copyFiles, TOKENIZER_FILES } from '../src/checkpoint/model_files.ts';
import { planBatches } from '../src/grpo/batching.ts';
import type { RolloutPrompt } from '../src/grpo/rollout.ts';
import { type CheckpointSizes, MODEL_PRESETS, publishedConfig } from '../src/models/qwen2_5_vl/presets.ts';
import { controlTokensIn } from '../src/models/random_checkpoint.ts';
import { parseConfig } from '../src/models/registry.ts';
import { expectedTensors } from '../src/models/tensors.ts';
import { createRewards } from '../src/rewards/registry.ts';
import { rlhfDeviceMemory } from '../src/train/device_need.ts';
import { type MemoryPart, totalOf } from '../src/train/memory_need.ts';
import { policyOptions, preparePolicy } from '../src/train/policy.ts';
import { samplingOf } from '../src/train/sampling.ts';
import { updateOptions } from '../src/train/update_options.ts';
import { createRandom } from '../src/util/random.ts';
import { syntheticPrompt } from './steps.ts';

/** Tokens of each prompt, of which an image has so many, and of each completion. */
const PROMPT = 1024;
const VISUAL = 256;
const TOKENS = 256;
/** Of each prompt; so many are learned from at a time. */
const COMPLETIONS = 8;
const CARDS = [8, 12, 24] as const;
/** Bytes of a card for its driver, kernels and the display. */
const SPARE = 2 ** 29;

interface Case {
  readonly model: '3B' | '7B';
  readonly what: string;
  readonly flags: readonly string[];
  /** Of a rollout. */
  readonly prompts: number;
}

const LORA = ['--tuner_type', 'lora', '--lora_rank', '16', '--lora_dropout', '0', '--gradient_checkpointing', 'true'];
const FORMS = [
  ['LoRA, 16 bits', LORA],
  ['LoRA, 8 bits', [...LORA, '--quant_bits', '8']],
  ['LoRA, 4 bits', [...LORA, '--quant_bits', '4']],
] as const;
const CASES: readonly Case[] = (['3B', '7B'] as const).flatMap((model) => [
  ...FORMS.flatMap(([what, flags]) => [4, 1].map((prompts): Case => ({ model, what, flags, prompts }))),
  { model, what: 'full, --beta 0', flags: ['--beta', '0', '--gradient_checkpointing', 'true'], prompts: 1 },
]);

/** GiB that hold the weights in 16 bits and not in float32, whichever machine counts. */
const WEIGHTS_MEMORY: Readonly<Record<Case['model'], number>> = { '3B': 10, '7B': 24 };

const SIZES: Readonly<Record<Case['model'], CheckpointSizes>> = {
  '3B': MODEL_PRESETS['qwen2.5-vl-3b'],
  '7B': MODEL_PRESETS['qwen2.5-vl-7b'],
};

/** Counts case after case, and prints each as a row of the table in docs/gpu.md. */
export async function countCards(folder: string, tokenizerDir: string, print: (line: string) => void): Promise<void> {
  print(`| model | what | prompts | GiB | the largest parts | ${CARDS.map((gb) => `${gb} GB`).join(' | ')} |`);
  print(`|---|---|---|---|---|${CARDS.map(() => '---|').join('')}`);
  for (const each of CASES) {
    const parts = await count(each, await sizedCheckpoint(join(folder, each.model), SIZES[each.model], tokenizerDir));
    const { likely } = totalOf(parts);
    const cards = CARDS.map((gb) => (likely <= gb * 2 ** 30 - SPARE ? 'yes' : 'no'));
    print(
      `| ${each.model} | ${each.what} | ${each.prompts} | ${gib(likely)} | ${largest(parts)} | ${cards.join(' | ')} |`,
    );
  }
}

// --- internal ---

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

const largest = (parts: readonly MemoryPart[]): string =>
  parts
    .toSorted((a, b) => b.likely - a.likely)
    .slice(0, 4)
    .map(({ what, likely }) => `${what} ${gib(likely)}`)
    .join(', ');

async function count({ model, flags, prompts: number }: Case, dir: string): Promise<MemoryPart[]> {
  const words = Object.entries({
    model: dir,
    dataset: dir,
    reward_funcs: 'format',
    num_generations: COMPLETIONS,
    max_completion_length: TOKENS,
    per_device_train_batch_size: COMPLETIONS,
    gradient_accumulation_steps: number,
    max_steps: 1,
    device: 'webgpu',
    ...(flags.includes('lora') ? { weights_memory: WEIGHTS_MEMORY[model] } : {}),
  }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { args } = readRlhfArguments([...words, ...flags], {});
  const policy = await preparePolicy(policyOptions(args, true));
  const reference =
    args.beta !== 0 && policy.adapter === null
      ? await preparePolicy({ ...policyOptions(args, false), frozen: null })
      : null;
  const random = createRandom(0);
  const prompts = Array.from({ length: number }, (_, i): RolloutPrompt => {
    const prompt = syntheticPrompt(VISUAL, policy, random.fork(`${i}`), `${i}`);
    const ids = new Int32Array(PROMPT).fill(prompt.ids[0]!);
    ids.set(prompt.ids);
    return { ...prompt, ids };
  });
  const run = { args, plan: planBatches(args), policy, reference, rewards: createRewards(['format']) };
  try {
    return await rlhfDeviceMemory(
      { ...run, sampling: samplingOf(args, policy), updating: updateOptions(args, 1) },
      prompts,
    );
  } finally {
    await policy.close();
    await reference?.close();
  }
}

/** A checkpoint whose weights are a hole in a file. */
async function sizedCheckpoint(dir: string, sizes: CheckpointSizes, tokenizerDir: string): Promise<string> {
  mkdirSync(dir, { recursive: true });
  const config = publishedConfig(sizes, controlTokensIn(tokenizerDir, sizes.vocabSize), 'bfloat16');
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  await copyFiles(tokenizerDir, dir, TOKENIZER_FILES);
  let end = 0;
  const header: Record<string, object> = {};
  for (const [name, shape] of expectedTensors(parseConfig(config, dir))) {
    const begin = end;
    end += 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(join(dir, 'model.safetensors'), 'w');
  for (const part of [length, text]) writeSync(file, part);
  ftruncateSync(file, length.length + text.length + end);
  closeSync(file);
  return dir;
}
