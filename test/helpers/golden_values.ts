/**
 * Reads the reference values of one golden checkpoint, and builds the model they were computed on.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import type { CompletionIds, Group, Ids, Prompt } from '../../src/engine/groups.ts';
import type { HashedImage } from '../../src/engine/image_features.ts';
import { hashOf } from '../../src/engine/image_hash.ts';
import { createModel, type ModelOptions, type VisionLanguageModel } from '../../src/engine/model.ts';
import { loadParameters } from '../../src/engine/parameters.ts';
import { readConfig } from '../../src/models/registry.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { type FloatTensor, floats } from '../../src/runtime/tensor.ts';
import { openTemplate, type Template } from '../../src/template/template.ts';
import type { GoldenCheckpoint } from './golden.ts';

export interface GoldenCase {
  readonly name: string;
  readonly messages: readonly {
    role: 'system' | 'user' | 'assistant';
    content: string | readonly { type: string; text?: string; image?: string }[];
  }[];
  readonly text: string;
  readonly prompt_ids: readonly number[];
  readonly completion_ids: readonly number[];
  readonly image_grid_thw: readonly (readonly [number, number, number])[] | null;
  readonly rope_delta: number;
  readonly system_prefix_tokens: number;
  readonly completion_logps: readonly number[];
  readonly entropy: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly tdr: null | {
    tdr: number;
    rho_vis: number;
    rho_text: number;
    n_vis: number;
    n_text: number;
    per_token_vis: number[];
    per_token_text: number[];
  };
}

/** The settings of the loss that are the same in all values of grpo.json. */
export const goldenLossSettings = ({ max_completion_length }: Pick<GoldenGrpo, 'max_completion_length'>) =>
  ({
    epsilon: 0.2,
    epsilonHigh: 0.28,
    delta: null,
    tauPos: 1,
    tauNeg: 1.05,
    offPolicySequenceMaskDelta: null,
    maxCompletionLength: max_completion_length,
  }) as const;

export interface GoldenGrpo {
  readonly num_generations: number;
  readonly prompts: readonly string[];
  readonly completion_ids: readonly (readonly number[])[];
  readonly rewards: readonly number[];
  readonly advantages: readonly number[];
  readonly per_token_logps: readonly (readonly number[])[];
  readonly entropies: readonly (readonly number[])[];
  readonly old_per_token_logps: readonly (readonly number[])[];
  readonly ref_per_token_logps: readonly (readonly number[])[];
  readonly max_completion_length: number;
  readonly ddapo: {
    per_sequence: { tdr: number }[];
    reward_plain: number[];
    reward_centered: number[];
    reward_group_norm: number[];
  };
  readonly results: readonly {
    loss_type: 'grpo' | 'bnpo' | 'dr_grpo' | 'dapo';
    importance_sampling_level: 'token' | 'sequence';
    beta: number;
    loss: number;
    grad_norm: number;
    metrics: Record<string, number>;
  }[];
}

export const readJson = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;

export const readCases = ({ golden }: GoldenCheckpoint): GoldenCase[] =>
  readJson<{ cases: GoldenCase[] }>(join(golden, 'cases.json')).cases;

/** Every tensor of a safetensors file, widened to float32 (int32 is converted by value). */
export function readTensors(path: string): Map<string, FloatTensor> {
  const file = openSafetensors(path);
  try {
    return new Map(
      [...file.entries.keys()].map((name) => {
        const { shape, dtype } = file.entries.get(name)!;
        const data = dtype === 'I32' ? Float32Array.from(new Int32Array(file.readRaw(name).buffer)) : file.read(name);
        return [name, floats(data, shape)];
      }),
    );
  } finally {
    file.close();
  }
}

export async function loadModel(
  { model: dir }: GoldenCheckpoint,
  options: Partial<ModelOptions> = {},
  isTrained: (name: string) => boolean = () => true,
): Promise<VisionLanguageModel> {
  const checkpoint = openCheckpoint(dir);
  const parameters = await loadParameters(checkpoint, isTrained, { device: options.device ?? cpu });
  checkpoint.close();
  return createModel(await readConfig(dir), parameters, { attnImpl: 'sdpa', gradientCheckpointing: true, ...options });
}

/** The images of a case, as the reference's processor made them. */
export function goldenImages(golden: GoldenCase, pixelValues: FloatTensor): HashedImage[] {
  const width = pixelValues.dims[1]!;
  let row = 0;
  return (golden.image_grid_thw ?? []).map((gridThw) => {
    const patches = gridThw[0] * gridThw[1] * gridThw[2];
    const pixels = pixelValues.data.subarray(row * width, (row + patches) * width);
    row += patches;
    return { pixelValues: pixels, gridThw, hash: hashOf(pixels, gridThw) };
  });
}

export const groupOf = (
  golden: GoldenCase,
  images: readonly HashedImage[],
  completions: readonly Ids[] = [golden.completion_ids],
): Group => ({ prompt: promptOf(golden, images), completions: completions.map((ids) => ({ ids })) });

export const promptOf = (golden: GoldenCase, images: readonly HashedImage[]): Prompt => ({
  ids: Int32Array.from(golden.prompt_ids),
  images,
});

/** Per group, per completion. */
export const completionsIn = <C extends CompletionIds>({
  groups,
}: {
  readonly groups: readonly Group<Prompt, C>[];
}): (readonly C[])[] => groups.map(({ completions }) => completions);

/** The images of a case through our own processor. */
async function processedImages(
  template: Template,
  golden: GoldenCase,
  { golden: dir }: GoldenCheckpoint,
): Promise<readonly HashedImage[]> {
  const names = golden.messages.flatMap(({ content }) =>
    typeof content === 'string' ? [] : content.flatMap(({ image }) => (image === undefined ? [] : [image])),
  );
  const where = `${dir}/cases.json`;
  const sources = names.map((name) => ({ kind: 'path' as const, path: join(dir, 'images', name), where }));
  const messages = golden.messages.map(({ role, content }) => ({
    role,
    content:
      typeof content === 'string'
        ? content
        : content.map((part) =>
            part.type === 'image' ? { type: 'image' as const } : { type: 'text' as const, text: part.text ?? '' },
          ),
  }));
  return (await template.encode(messages, sources, { where })).images;
}

/**
 * The groups of grpo.json, one per prompt, on the positions that reference ran on.
 *
 * golden.py passes the token types that transformers 5 needs for multimodal positions only if TRL's method names such an
 * argument; it asks the method's decorator, which names none, so in that file's GRPO part the model fell back to plain
 * text positions (cases.json, made by the model alone, has multimodal ones). A golden folder made otherwise may have
 * multimodal positions: its own current log-probabilities say which, and every later check holds on those positions.
 */
export async function goldenGroups(checkpoint: GoldenCheckpoint, grpo: GoldenGrpo): Promise<Group[]> {
  const tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
  const cases = readCases(checkpoint);
  const size = grpo.num_generations;
  const multimodal = grpo.prompts
    .filter((_, i) => i % size === 0)
    .map((name, i): Group => {
      const golden = cases.find((candidate) => candidate.name === name)!;
      const images = goldenImages(golden, tensors.get(`${name}.pixel_values`)!);
      return groupOf(golden, images, grpo.completion_ids.slice(i * size, (i + 1) * size));
    });
  const plain = multimodal.map((group): Group => {
    const length = group.prompt.ids.length;
    const positions = { positions: Int32Array.from({ length: 3 * length }, (_, i) => i % length), delta: 0 };
    return { ...group, prompt: { ...group.prompt, positions } };
  });
  const model = await loadModel(checkpoint);
  const distance = async (groups: Group[]): Promise<number> => {
    const scored = await model.score(groups, { temperature: 1, keep: false });
    const logps = completionsIn(scored)
      .flat()
      .flatMap((completion) => [...completion.logps]);
    return Math.max(...logps.map((logp, i) => Math.abs(logp - grpo.per_token_logps.flat()[i]!)));
  };
  const [asMultimodal, asPlain] = [await distance(multimodal), await distance(plain)];
  await model.release();
  const nearer = asPlain < asMultimodal ? 'plain text' : 'multimodal';
  console.log(
    `${checkpoint.name}: grpo.json was computed on ${nearer} positions (largest |logp| error ${Math.min(asPlain, asMultimodal)})`,
  );
  return asPlain < asMultimodal ? plain : multimodal;
}

/** The images of every case by its name: the reference's own pixels, or ours where it stores them thinned out. */
export async function imagesOfCases(
  checkpoint: GoldenCheckpoint,
  model: VisionLanguageModel,
  tensors: ReadonlyMap<string, FloatTensor>,
): Promise<Map<string, readonly HashedImage[]>> {
  const template = await openTemplate(checkpoint.model, model.modelConfig);
  const images = new Map<string, readonly HashedImage[]>();
  for (const golden of readCases(checkpoint)) {
    const pixels = tensors.get(`${golden.name}.pixel_values`);
    const patches = (golden.image_grid_thw ?? []).reduce((sum, [t, h, w]) => sum + t * h * w, 0);
    if (pixels === undefined) images.set(golden.name, []);
    else if (pixels.dims[0] === patches) images.set(golden.name, goldenImages(golden, pixels));
    else images.set(golden.name, await processedImages(template, golden, checkpoint));
  }
  await template.close();
  return images;
}
