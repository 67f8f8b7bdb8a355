/**
 * The checkpoints in the folder of a run, of sightline or of ms-swift, with the evaluation at their step.
 */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isJsonObject } from '../util/json.ts';
import type { CheckpointPlace, Checkpoints } from './api.ts';
import { type Fence, isRefusal } from './inside.ts';
import type { Run } from './run.ts';

export interface CheckpointReader {
  /** Those that are on the disk now, the newest first. */
  of(run: Run): Promise<Checkpoints>;
}

export function createCheckpointReader(fence: Fence): CheckpointReader {
  /** The best checkpoint by run. The file that names it holds the whole history, so that it is read only once. */
  const known = new Map<string, KnownBest>();
  return {
    async of(run) {
      const folders = (await foldersIn(run.folder.path, fence)).sort((a, b) => b.step - a.step);
      const state = join(folders[0]?.path ?? run.folder.path, 'trainer_state.json');
      const last = await bestOf(state, fence, known.get(run.folder.id) ?? null);
      if (last !== null) known.set(run.folder.id, last);
      const end = run.metrics.end();
      const best = end === null ? (last?.best ?? null) : end.bestCheckpoint;
      return describe(run, folders, best === null ? null : basename(best), (await run.args()) ?? {});
    },
  };
}

// --- internal ---

function describe(
  run: Run,
  folders: readonly Found[],
  best: string | null,
  args: Readonly<Record<string, unknown>>,
): Checkpoints {
  const metric = evaluationMetric(args, run.metrics.metrics());
  const { steps, values } = metric === null ? { steps: [], values: [] } : run.metrics.values(metric);
  return {
    metric,
    checkpoints: folders.map(({ name, step, savedAt }): CheckpointPlace => {
      const at = steps.indexOf(step);
      const value = at < 0 ? null : values[at]!;
      return { name, step, savedAt, value, isBest: name === best, isLast: name === folders[0]!.name };
    }),
  };
}

interface Found {
  readonly name: string;
  readonly path: string;
  readonly step: number;
  readonly savedAt: number;
}

/** Links are not followed: what they lead to is not this run's. */
async function foldersIn(path: string, fence: Fence): Promise<Found[]> {
  const real = await fence.resolve(path);
  if (isRefusal(real)) return [];
  const entries = await readdir(real, { withFileTypes: true }).catch(() => []);
  const found: Found[] = [];
  for (const entry of entries) {
    const step = /^checkpoint-(\d{1,15})$/.exec(entry.name)?.[1];
    if (step === undefined || !entry.isDirectory()) continue;
    const place = join(real, entry.name);
    // It may have been removed since the folder was read.
    const stats = await stat(place).catch(() => null);
    if (stats !== null) found.push({ name: entry.name, path: place, step: Number(step), savedAt: stats.mtimeMs });
  }
  return found;
}

/**
 * The evaluation that chooses the best checkpoint: what ms-swift was told, else the reward, else the loss; null if the run has
 * not logged it.
 */
function evaluationMetric(args: Readonly<Record<string, unknown>>, logged: readonly string[]): string | null {
  const { metric_for_best_model: told } = args;
  const wanted = typeof told === 'string' && told !== '' ? [`eval_${told.replace(/^eval_/, '')}`] : [];
  return [...wanted, 'eval_reward', 'eval_loss'].find((name) => logged.includes(name)) ?? null;
}

interface KnownBest {
  /** The file as it was when it was read. */
  readonly version: string;
  readonly best: string | null;
}

/** What a trainer_state.json names as the best; null if it is missing, half-written or larger than any real one. */
async function bestOf(path: string, fence: Fence, known: KnownBest | null): Promise<KnownBest | null> {
  const handle = await fence.open(path);
  if (isRefusal(handle)) return null;
  try {
    const { size, mtimeMs } = await handle.stat();
    const version = `${path} ${size} ${mtimeMs}`;
    if (known?.version === version) return known;
    if (size > STATE_BYTES) return null;
    const parsed: unknown = JSON.parse(await handle.readFile('utf8'));
    const best = isJsonObject(parsed) ? parsed.best_model_checkpoint : null;
    return { version, best: typeof best === 'string' ? best : null };
  } catch {
    return null;
  } finally {
    await handle.close();
  }
}

const STATE_BYTES = 64 * 2 ** 20;
