/**
 * A tiny random checkpoint with rows to ask it about, and runs of `sightline rlhf` over them inside the test's process.
 * Knows files and flags; judges nothing.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { rlhf } from '../../src/cli/rlhf.ts';
import { writeTokenizer } from '../../src/demo/tokenizer.ts';
import { defaultInit, writeRandomCheckpoint } from '../../src/models/random_checkpoint.ts';
import { createRandom } from '../../src/util/random.ts';
import { pretendIo } from '../cli/io.ts';

export const DDAPO_PLUGIN = fileURLToPath(new URL('../../examples/train/grpo/plugin/plugin.ts', import.meta.url));

export interface TinyProject {
  readonly root: string;
  readonly model: string;
  /** Rows with one picture each. */
  readonly pictures: string;
  /** Rows without a picture. */
  readonly texts: string;
  /** Plugin with the reward `letters`: how much of a completion is letters. Differs within nearly every group. */
  readonly letters: string;
}

/** Two decoder layers, two vision blocks, about 60,000 parameters; sampled text is short and varied. */
export async function tinyProject(root: string, rows = 6): Promise<TinyProject> {
  const tokenizerDir = join(root, 'tokenizer');
  await writeTokenizer({ seed: 0, outputDir: tokenizerDir });
  const project: TinyProject = {
    root,
    model: join(root, 'model'),
    pictures: join(root, 'pictures.jsonl'),
    texts: join(root, 'texts.jsonl'),
    letters: join(root, 'letters.ts'),
  };
  await writeRandomCheckpoint(project.model, {
    tokenizerDir,
    seed: 7,
    sizes: {
      hiddenSize: 32,
      intermediateSize: 48,
      numHiddenLayers: 2,
      numAttentionHeads: 4,
      numKeyValueHeads: 2,
      vocabSize: 448,
      tieWordEmbeddings: true,
      maxPositionEmbeddings: 512,
      mropeSection: [1, 1, 2],
      vision: {
        depth: 2,
        hiddenSize: 32,
        intermediateSize: 48,
        numHeads: 2,
        windowSize: 56,
        fullattBlockIndexes: [1],
      },
    },
    // wider than usual, so that completions differ and attention is not even
    init: (name, shape) => (shape.length > 1 ? { mean: 0, std: 0.2 } : defaultInit(name, shape)),
  });
  const random = createRandom(3);
  for (let i = 0; i < rows; i++) {
    const pixels = Uint8Array.from({ length: 56 * 84 * 3 }, () => random.int(256));
    await sharp(pixels, { raw: { width: 84, height: 56, channels: 3 } }).toFile(join(root, `${i}.png`));
  }
  writeRows(
    project.pictures,
    Array.from({ length: rows }, (_, i) => pictureRow(`${i}.png`, `which colour is shape ${i}?`)),
  );
  writeRows(
    project.texts,
    Array.from({ length: rows }, (_, i) => ({
      messages: [{ role: 'user', content: `what is ${i} + ${i}?` }],
      solution: `${2 * i}`,
    })),
  );
  writeFileSync(
    project.letters,
    `import { orms } from 'sightline';
class Letters {
  call(completions) { return completions.map((text) => text.replace(/[^a-z]/g, '').length / (1 + text.length)); }
}
orms['letters'] = Letters;
`,
  );
  return project;
}

export function pictureRow(image: string, question: string) {
  return { messages: [{ role: 'user', content: `<image>${question}` }], images: [image], solution: 'red' };
}

export function writeRows(path: string, rows: readonly unknown[]): void {
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

/** Values of flags by name; several for a list. */
export type FlagValues = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Flags of a short run: groups of 4, two groups a step, at a rate that moves weights visibly. */
export function tinyFlags(project: TinyProject, changes: FlagValues = {}): string[] {
  const flags: FlagValues = {
    model: project.model,
    dataset: project.pictures,
    external_plugins: [DDAPO_PLUGIN, project.letters],
    reward_funcs: ['ddapo_attention', 'letters'],
    num_generations: '4',
    per_device_train_batch_size: '8',
    max_completion_length: '8',
    max_steps: '2',
    logging_steps: '1',
    learning_rate: '1e-2',
    lr_scheduler_type: 'constant',
    temperature: '1',
    beta: '0',
    log_completions: 'true',
    ...changes,
  };
  return Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value].flat()));
}

export interface TinyRun {
  readonly folder: string;
  /** Records of steps, in order; the last record of the file is not among them. */
  readonly logs: readonly Record<string, number>[];
  readonly last: Record<string, unknown>;
  /** The columns of completions.jsonl, one entry per completion of the run. */
  readonly completions: Readonly<Record<string, unknown[]>>;
  readonly stdout: string;
  readonly stderr: string;
}

/** `sightline rlhf` in this process; its output folder is `root/name`. */
export async function tinyRun(
  project: TinyProject,
  name: string,
  changes: FlagValues = {},
  signal?: AbortSignal,
): Promise<TinyRun> {
  const parent = join(project.root, 'runs', name);
  const { io, text } = pretendIo({ signal });
  await rlhf(tinyFlags(project, { output_dir: parent, ...changes }), io);
  return { ...readRun(runFolder(parent)), ...text };
}

/** The one run folder in an output folder. */
export function runFolder(parent: string): string {
  const [name, ...others] = readdirSync(parent);
  if (name === undefined || others.length > 0) throw new Error(`expected one run in ${parent}: ${[name, ...others]}`);
  return join(parent, name);
}

export function readRun(folder: string): Omit<TinyRun, 'stdout' | 'stderr'> {
  const records = readLines<Record<string, unknown>>(join(folder, 'logging.jsonl'));
  const columns: Record<string, unknown[]> = {};
  if (readdirSync(folder).includes('completions.jsonl')) {
    for (const table of readLines<Record<string, unknown[]>>(join(folder, 'completions.jsonl'))) {
      for (const [name, values] of Object.entries(table)) columns[name] = [...(columns[name] ?? []), ...values];
    }
  }
  return {
    folder,
    logs: records.slice(0, -1).filter((record): record is Record<string, number> => !('eval_reward' in record)),
    last: records.at(-1)!,
    completions: columns,
  };
}

export function readLines<T>(path: string): T[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line): T => JSON.parse(line));
}

/** Weights of a checkpoint by canonical name. */
export function readWeights(dir: string): Map<string, Float32Array> {
  const checkpoint = openCheckpoint(dir);
  try {
    return new Map([...checkpoint.tensors.keys()].map((name) => [name, checkpoint.read(name)]));
  } finally {
    checkpoint.close();
  }
}

/** Largest absolute difference of two checkpoints of equal tensors. */
export function weightDifference(a: ReadonlyMap<string, Float32Array>, b: ReadonlyMap<string, Float32Array>): number {
  if ([...a.keys()].sort().join() !== [...b.keys()].sort().join())
    throw new Error('the checkpoints have other tensors');
  let largest = 0;
  for (const [name, values] of a) {
    const others = b.get(name)!;
    if (others.length !== values.length) throw new Error(`${name}: ${values.length} and ${others.length} values`);
    for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]! - others[i]!));
  }
  return largest;
}
