/**
 * Writes the demo's model untrained, and packs it as bfloat16 once it is trained.
 * Knows the sizes of this one model, not how it is trained.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoint/open.ts';
import { saveCheckpoint } from '../checkpoint/save.ts';
import { trainedOnKey } from '../checkpoint/trained_on.ts';
import { type CheckpointSizes, writeRandomCheckpoint } from '../models/random_checkpoint.ts';
import { IMAGE_SIZE } from './draw.ts';
import { EMBEDDING_ROWS, writeTokenizer } from './tokenizer.ts';

/** 1,535,040 parameters, 589,760 of them in the vision tower and its merger. */
const DEMO_SIZES: CheckpointSizes = {
  hiddenSize: 128,
  intermediateSize: 256,
  numHiddenLayers: 6,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  vocabSize: EMBEDDING_ROWS,
  tieWordEmbeddings: true,
  maxPositionEmbeddings: 4096,
  mropeSection: [4, 6, 6],
  vision: {
    depth: 3,
    hiddenSize: 96,
    intermediateSize: 192,
    numHeads: 4,
    windowSize: 56,
    fullattBlockIndexes: [1],
  },
};

/** Smaller than the published 1,000,000, because prompts have only about 50 tokens, over which slow rotations hardly change. */
const ROPE_THETA = 10_000;

/**
 * Writes tokenizer, processor files and random weights (normal, deviation 0.02) in float32. Equal seeds give equal bytes.
 *
 * @throws SightlineError E_OUTPUT_EXISTS if the folder exists.
 */
export async function writeInitialCheckpoint(options: {
  readonly seed: number;
  readonly outputDir: string;
}): Promise<void> {
  const { seed, outputDir } = options;
  const work = await mkdtemp(join(tmpdir(), 'sightline-demo-'));
  try {
    const tokenizerDir = join(work, 'tokenizer');
    const random = join(work, 'random');
    await writeTokenizer({ seed, outputDir: tokenizerDir });
    await writeRandomCheckpoint(random, { sizes: DEMO_SIZES, tokenizerDir, seed });
    const config = {
      ...readJsonFile(join(random, 'config.json')),
      rope_theta: ROPE_THETA,
      ...trainedOnKey({ width: IMAGE_SIZE, height: IMAGE_SIZE, subject: 'four coloured shapes on grey' }),
    };
    await writeFile(join(random, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
    await withCheckpoint(random, (source) => saveCheckpoint(outputDir, { source }));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Copies only the weights, config and tokenizer of a checkpoint. Weights become bfloat16.
 *
 * @throws SightlineError E_OUTPUT_EXISTS if the folder exists, and those of openCheckpoint.
 */
export async function packCheckpoint(model: string, outputDir: string): Promise<void> {
  await withCheckpoint(model, (source) => saveCheckpoint(outputDir, { source, dtype: 'bfloat16' }));
}

// --- internal ---

async function withCheckpoint(dir: string, use: (checkpoint: Checkpoint) => Promise<void>): Promise<void> {
  const checkpoint = openCheckpoint(dir);
  try {
    await use(checkpoint);
  } finally {
    checkpoint.close();
  }
}
