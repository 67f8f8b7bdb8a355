/**
 * Writes a demo dataset: a folder with data.jsonl, images/NNNNN.png and prompt.txt, which appears complete or not at all.
 * Knows files, not what rows mean.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { explainDisk, SightlineError } from '../errors.ts';
import { makeFolders } from '../util/make_folders.ts';
import { drawItems, encodePng } from './draw.ts';
import { SYSTEM_PROMPT } from './questions.ts';
import { demoSample, type Kind } from './rows.ts';

export interface DatasetOptions {
  readonly kind: Kind;
  readonly rows: number;
  readonly seed: number;
  /** Must not exist or be empty. */
  readonly outputDir: string;
}

/** Absolute paths of a dataset's files. */
export interface Dataset {
  readonly data: string;
  readonly prompt: string;
}

/** PNGs encoded concurrently: enough to keep sharp's threads busy. */
const BATCH = 32;

/**
 * Draws and writes `rows` rows. Equal options give equal bytes. An abort throws the signal's reason and leaves no files.
 *
 * Errors: E_OUTPUT_EXISTS if the folder is not empty; E_OUTPUT if it cannot be written.
 */
export async function generateDataset(options: DatasetOptions, signal?: AbortSignal): Promise<Dataset> {
  const { kind, rows, seed } = options;
  const outputDir = resolve(options.outputDir);
  await writeFolder(outputDir, async (dir) => {
    await mkdir(join(dir, 'images'));
    const lines: string[] = [];
    for (let begin = 0; begin < rows; begin += BATCH) {
      signal?.throwIfAborted();
      const samples = Array.from({ length: Math.min(BATCH, rows - begin) }, (_, i) =>
        demoSample(kind, seed, begin + i),
      );
      await Promise.all(
        samples.map(async ({ row, items, pixels }) =>
          writeFile(join(dir, row.images[0]!), await encodePng(drawItems(pixels, items))),
        ),
      );
      lines.push(...samples.map(({ row }) => `${JSON.stringify(row)}\n`));
    }
    await writeFile(join(dir, 'data.jsonl'), lines.join(''));
    await writeFile(join(dir, 'prompt.txt'), SYSTEM_PROMPT);
  });
  return { data: join(outputDir, 'data.jsonl'), prompt: join(outputDir, 'prompt.txt') };
}

// --- internal ---

/**
 * Fills a folder next to `target` and renames it when `fill` is done, so that an interrupted run leaves no partial dataset.
 * Does not fsync, unlike saving a checkpoint, because the images can be drawn again.
 */
async function writeFolder(target: string, fill: (dir: string) => Promise<void>): Promise<void> {
  // The name is fixed, so that the next run replaces what a killed run has left.
  const partial = join(dirname(target), `.${basename(target)}.partial`);
  try {
    if (existsSync(target) && (await readdir(target)).length > 0) {
      throw new SightlineError('E_OUTPUT_EXISTS', 'the output folder is not empty', {
        where: target,
        hint: 'name another folder, or remove this one',
      });
    }
    await rm(partial, { recursive: true, force: true });
    makeFolders(partial);
    await fill(partial);
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw explainDisk(error, 'E_OUTPUT', 'the dataset cannot be written', { where: target });
  }
}
