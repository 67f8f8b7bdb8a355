/**
 * Whole runs with --tuner_type lora on a tiny random checkpoint: what they train and save, which options must not change the
 * result, and what other commands make of their checkpoints.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { exportModel } from '../../src/cli/export.ts';
import { rlhf } from '../../src/cli/rlhf.ts';
import { score } from '../../src/cli/score.ts';
import { sft } from '../../src/cli/sft.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { here } from '../../src/runtime/device.ts';
import { pretendIo } from '../cli/io.ts';
import { SEEDS } from '../helpers/draws.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { readTensors } from '../helpers/golden_values.ts';
import { elementsOf } from '../helpers/parameters.ts';
import {
  type FlagValues,
  readLines,
  readWeights,
  runFolder,
  type TinyProject,
  type TinyRun,
  tinyFlags,
  tinyProject,
  tinyRun,
  weightDifference,
  writeRows,
} from '../helpers/tiny.ts';

// Every model that is made, the policy of a run first.
const made = vi.hoisted(() => ({ models: [] as unknown[] }));
vi.mock('../../src/engine/model.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/engine/model.ts')>();
  return {
    ...original,
    createModel: (...args: Parameters<typeof original.createModel>) => {
      const model = original.createModel(...args);
      made.models.push(model);
      return model;
    },
  };
});
beforeEach(() => {
  made.models.length = 0;
});

// A large epsilon makes AdamW's step proportional to the gradient, so that adapters differ no more than gradients do.
const SMOOTH = { adam_epsilon: '1', learning_rate: '0.5', max_grad_norm: '0', weight_decay: '0' };
const LORA = { tuner_type: 'lora', lora_rank: '2', lora_alpha: '4', lora_dropout: '0' };

const root = temporaryFolder();
let project: TinyProject;
beforeAll(async () => {
  project = await tinyProject(root);
});

let runs = 0;
const run = (changes: FlagValues = {}): Promise<TinyRun> => tinyRun(project, `${runs++}`, { ...LORA, ...changes });
const checkpointOf = ({ folder }: TinyRun, step = 2): string => join(folder, `checkpoint-${step}`);
const adapterAt = (dir: string): Map<string, Float32Array> =>
  new Map([...readTensors(join(dir, 'adapter_model.safetensors'))].map(([name, { data }]) => [name, data]));
const adapterOf = (tiny: TinyRun): Map<string, Float32Array> => adapterAt(checkpointOf(tiny));
const configAt = (dir: string) => JSON.parse(readFileSync(join(dir, 'adapter_config.json'), 'utf8'));

/** Runs that draw the same tokens, with one of a few seeds. */
async function sameDraws(...changes: FlagValues[]): Promise<TinyRun[]> {
  for (const seed of SEEDS) {
    const tried: TinyRun[] = [];
    for (const flags of changes) tried.push(await run({ ...SMOOTH, ...flags, seed: `${seed}` }));
    if (new Set(tried.map(({ completions }) => JSON.stringify(completions.completion))).size === 1) return tried;
  }
  return expect.fail(`with none of the seeds ${SEEDS} the runs draw the same tokens`);
}

async function message(promise: Promise<unknown>): Promise<string> {
  const error = (await promise.then(
    () => expect.fail('it was not refused'),
    (thrown: unknown) => thrown,
  )) as Error & { where?: string; hint?: string };
  return [error.message, error.where, error.hint].join(' | ');
}

describe('a run', () => {
  test('trains adapters of the language model, and saves them as PEFT and ms-swift do', async () => {
    const tiny = await run();
    const dir = checkpointOf(tiny);
    expect(readdirSync(dir).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'additional_config.json',
      'args.json',
      'loop_state.json',
      'optimizer.safetensors',
      'trainer_state.json',
    ]);
    const tensors = [...adapterOf(tiny).keys()];
    expect(tensors).toHaveLength(2 * 2 * 7);
    for (const name of tensors)
      expect(name).toMatch(
        /^base_model\.model\.model\.language_model\.layers\.[01]\.(self_attn|mlp)\.\w_?\w*proj\.lora_[AB]\.weight$/,
      );
    expect(configAt(dir)).toMatchObject({ r: 2, lora_alpha: 4, peft_type: 'LORA', modules_to_save: null });
    const [policy] = made.models as VisionLanguageModel[];
    const moved = policy!.parameters.trained.filter((name) => name.endsWith('lora_B.weight'));
    expect(moved).toHaveLength(14);
    for (const name of moved)
      expect(
        (await elementsOf(policy!.parameters, name)).some((x) => x !== 0),
        name,
      ).toBe(true);
    // The base weights are those of the checkpoint, to the bit.
    const base = readWeights(project.model);
    for (const [name, values] of base) expect(await elementsOf(policy!.parameters, name), name).toEqual(values);
    const states = readTensors(join(dir, 'optimizer.safetensors'));
    expect(states.size).toBe(2 * policy!.parameters.trained.length);
    expect(tiny.stdout).toContain('sightline infer --adapters');
  });

  test.each([
    ['a forward of its own to learn from', { reuse_rollout: 'false' }],
    ['blocks recomputed', { gradient_checkpointing: 'true' }],
    ['two micro-batches', { per_device_train_batch_size: '4', gradient_accumulation_steps: '2' }],
    ['eager attention', { attn_impl: 'eager' }],
    ['flash attention, eager probe', { attn_impl: 'flash_attention_2', attn_probe: 'eager' }],
    ['masses of the fused forward', { attn_probe: 'fused' }],
  ])('gives the same rewards and adapters with %s', async (_, changes) => {
    const everywhere = { freeze_vit: 'false', freeze_aligner: 'false' };
    const [plain, other] = (await sameDraws(everywhere, { ...everywhere, ...changes })) as [TinyRun, TinyRun];
    for (const reward of ['ddapo_attention', 'letters', 'tdr']) {
      const errors = plain.completions[reward]!.map((value, i) =>
        Math.abs(Number(value) - Number(other.completions[reward]![i])),
      );
      expect(Math.max(...errors), reward).toBeLessThan(1e-5);
    }
    expect(weightDifference(adapterOf(plain), adapterOf(other))).toBeLessThan(1e-5);
    expect(plain.completions.tdr!.every((value) => typeof value === 'number')).toBe(true);
  });

  test('has a reference that shares the weights, and is the model without its adapter', async () => {
    const tiny = await run({ beta: '0.04' });
    const [policy, reference] = made.models as VisionLanguageModel[];
    expect(made.models).toHaveLength(2);
    expect(reference!.parameters.trained).toEqual([]);
    for (const name of reference!.parameters.names) {
      const [ours, theirs] = [reference!, policy!].map(({ parameters }) => here(parameters.value(name)));
      expect(ours!.data.buffer, name).toBe(theirs!.data.buffer);
    }
    expect(reference!.images).toBe(policy!.images);
    const [first, second] = tiny.logs as [Record<string, number>, Record<string, number>];
    expect(Math.abs(first.kl!)).toBeLessThan(1e-9);
    expect(second.kl).toBeGreaterThan(1e-6);
  });
});

describe('dropout', () => {
  const RATE = { lora_dropout: '0.3' };

  test('is the same in forward and backward, whatever is recomputed, and the run says what it costs', async () => {
    const all = { ...RATE, freeze_vit: 'false', freeze_aligner: 'false', max_steps: '1' };
    const [kept, recomputed, none] = (await sameDraws(
      { ...all, gradient_checkpointing: 'false' },
      { ...all, gradient_checkpointing: 'true' },
      { ...all, lora_dropout: '0' },
    )) as [TinyRun, TinyRun, TinyRun];
    const at = (tiny: TinyRun) => adapterAt(checkpointOf(tiny, 1));
    expect(weightDifference(at(kept), at(recomputed))).toBeLessThan(1e-6);
    expect(weightDifference(at(kept), at(none))).toBeGreaterThan(1e-5);
    expect(kept.stdout).toContain('every step runs a training forward');
    expect(none.stdout).not.toContain('every step runs a training forward');
    expect(configAt(checkpointOf(kept, 1)).lora_dropout).toBe(0.3);
  });

  test('is another in every step, and the same in a run that is repeated', async () => {
    const [once, again] = [await run(RATE), await run(RATE)];
    expect(weightDifference(adapterOf(once), adapterOf(again))).toBe(0);
  });
});

describe('what is adapted', () => {
  test('tower and merger, by the flags that freeze them', async () => {
    const tower = await run({ freeze_vit: 'false', freeze_llm: 'true' });
    expect([...adapterOf(tower).keys()].every((name) => name.includes('.visual.blocks.'))).toBe(true);
    const merger = await run({ freeze_aligner: 'false', freeze_llm: 'true' });
    expect([...adapterOf(merger).keys()].sort()).toEqual(
      ['0', '2'].flatMap((n) =>
        ['A', 'B'].map((m) => `base_model.model.model.visual.merger.mlp.${n}.lora_${m}.weight`),
      ),
    );
  });

  test('modules that are trained whole are saved whole', async () => {
    const tiny = await run({ target_modules: ['q_proj', 'v_proj'], modules_to_save: ['embed_tokens', 'all-norm'] });
    const names = [...adapterOf(tiny).keys()];
    expect(names).toContain('base_model.model.model.language_model.embed_tokens.weight');
    expect(names.filter((name) => name.endsWith('layernorm.weight'))).toHaveLength(4);
    const before = readWeights(project.model).get('model.embed_tokens.weight')!;
    const after = adapterOf(tiny).get('base_model.model.model.language_model.embed_tokens.weight')!;
    expect(after.some((value, i) => value !== before[i])).toBe(true);
  });
});

describe('a checkpoint of an adapter', () => {
  test('is where another run goes on, with itself as the reference if it is named', async () => {
    const first = await run({ max_steps: '2' });
    const dir = checkpointOf(first);
    const second = await run({ adapters: dir, ref_adapters: dir, beta: '0.04', max_steps: '1', learning_rate: '1e-9' });
    expect(Math.abs(second.logs[0]!.kl!)).toBeLessThan(1e-9);
    expect(weightDifference(adapterAt(checkpointOf(second, 1)), adapterAt(dir))).toBeLessThan(1e-6);
    const third = await run({ adapters: dir, beta: '0.04', max_steps: '1', learning_rate: '1e-9' });
    expect(third.logs[0]!.kl).toBeGreaterThan(1e-6);
    const fourth = await run({ adapters: dir, lora_rank: '7' });
    expect(fourth.stdout).toContain('--lora_rank has no effect');
    expect(configAt(checkpointOf(fourth)).r).toBe(2);
  });

  test('scores as the merged model does', async () => {
    const tiny = await run({ freeze_vit: 'false', freeze_aligner: 'false', modules_to_save: 'embed_tokens' });
    const dir = checkpointOf(tiny);
    const merged = join(root, 'merged');
    const { io, text } = pretendIo();
    await exportModel(
      ['--adapters', dir, '--merge_lora', 'true', '--output_dir', merged, '--torch_dtype', 'float32'],
      io,
    );
    expect(text.stdout).toContain('merged 26 updates and 1 whole tensors');
    const rows = join(root, 'answers.jsonl');
    const answered = readLines<{ messages: unknown[] }>(project.pictures).map((row) => ({
      ...row,
      messages: [...row.messages, { role: 'assistant', content: 'a red square' }],
    }));
    writeRows(rows, answered);
    const scored = async (name: string, ...model: string[]) => {
      const output = join(root, `${name}.jsonl`);
      await score([...model, '--dataset', rows, '--output', output], pretendIo().io);
      return readLines<{ logps: number[]; tdr: number }>(output);
    };
    const [apart, together, plain] = [
      await scored('apart', '--adapters', dir),
      await scored('together', '--model', merged),
      await scored('plain', '--model', project.model),
    ];
    const flat = (all: { logps: number[]; tdr: number }[]) => all.flatMap(({ logps, tdr }) => [...logps, tdr]);
    const difference = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
    expect(difference(flat(apart), flat(together))).toBeLessThan(1e-4);
    expect(difference(flat(apart), flat(plain))).toBeGreaterThan(1e-2);
    expect(JSON.parse(readFileSync(join(merged, 'config.json'), 'utf8')).tie_word_embeddings).toBe(false);
  });

  test('given to --model is told as what it is', async () => {
    const dir = checkpointOf(await run());
    const told = await message(
      rlhf(tinyFlags(project, { model: dir, output_dir: join(root, 'none') }), pretendIo().io),
    );
    expect(told).toContain('the folder holds an adapter ("LORA")');
    expect(told).toContain('give the folder to --adapters');
    expect(existsSync(join(root, 'none'))).toBe(false);
  });
});

describe('rates', () => {
  test('of LoRA+, tower and merger are multiples of the schedule', async () => {
    const flags = { ...LORA, model: project.model, dataset: project.pictures };
    const words = Object.entries({
      ...flags,
      freeze_vit: 'false',
      freeze_aligner: 'false',
      max_steps: '1',
      gradient_accumulation_steps: '1',
      learning_rate: '1e-3',
      weight_decay: '0',
      adam_epsilon: '1e-30',
      max_grad_norm: '0',
    }).flatMap(([name, value]) => [`--${name}`, value]);
    const rows = join(root, 'taught.jsonl');
    writeRows(
      rows,
      readLines<{ messages: unknown[] }>(project.pictures).map((row) => ({
        ...row,
        messages: [...row.messages, { role: 'assistant', content: 'red' }],
      })),
    );
    const largest = async (name: string, ...more: string[]) => {
      const parent = join(root, 'runs', name);
      await sft([...words, '--dataset', rows, '--output_dir', parent, ...more], pretendIo().io);
      const adapter = adapterAt(join(runFolder(parent), 'checkpoint-1'));
      // The first step of AdamW is the rate, whatever the gradient; B begins at zero.
      const of = (part: RegExp) =>
        Math.max(...[...adapter].filter(([key]) => part.test(key)).flatMap(([, values]) => [...values].map(Math.abs)));
      return { llm: of(/language_model.*lora_B/), vit: of(/blocks.*lora_B/), aligner: of(/merger.*lora_B/) };
    };
    const near = (rate: number) => expect.closeTo(rate, 7);
    expect(await largest('plain')).toEqual({ llm: near(1e-3), vit: near(1e-3), aligner: near(1e-3) });
    expect(await largest('parts', '--vit_lr', '2e-3', '--aligner_lr', '5e-4')).toEqual({
      llm: near(1e-3),
      vit: near(2e-3),
      aligner: near(5e-4),
    });
    expect(await largest('plus', '--lorap_lr_ratio', '16')).toEqual({
      llm: near(1.6e-2),
      vit: near(1.6e-2),
      aligner: near(1.6e-2),
    });
  });
});
