/**
 * One run: its log files, followed, and everything that is asked about it.
 */
import { join } from 'node:path';
import { createByteCache } from '../util/byte_cache.ts';
import { isJsonObject, type Json, type JsonObject } from '../util/json.ts';
import type { RunSummary } from './api.ts';
import { type AttentionFiles, createAttentionFiles } from './attention_files.ts';
import { type CompletionTable, createCompletionTable, parseTable, type Table } from './completion_table.ts';
import { type Fence, isRefusal } from './inside.ts';
import { createLineIndex, type LineIndex } from './line_index.ts';
import { createMetricLog, type MetricLog } from './metric_log.ts';
import type { RunFolder } from './run_folders.ts';

export interface Run {
  readonly folder: RunFolder;
  readonly metrics: MetricLog;
  readonly table: CompletionTable;
  readonly attention: AttentionFiles;
  /** Reads what has been added to the files. Resolves to whether anything has changed. */
  poll(): Promise<boolean>;
  /** Grows with each change of the data; results computed from it may be kept under this number. */
  readonly version: number;
  summary(now?: number): RunSummary;
  /** The arguments of the run; null if there is no args.json that can be read. */
  args(): Promise<Readonly<Record<string, Json>> | null>;
  /** A line of completions.jsonl as a table; null if the file has gone or was replaced. */
  tableAt(line: number): Promise<Table | null>;
  /** Numbers of the completions whose prompt or text contains the words, in any case. Reads the whole file. */
  search(words: string, signal: AbortSignal): Promise<ReadonlySet<number>>;
}

export function createRun(folder: RunFolder, fence: Fence): Run {
  const metrics = createMetricLog();
  const table = createCompletionTable();
  const attention = createAttentionFiles(folder.path, fence);
  const faults: string[] = [];
  const tables = createByteCache<Table>(TABLE_BYTES);
  let version = 0;
  let resets = 0;
  let known: JsonObject | null = null;

  function follow(name: string, take: (text: string, line: number) => string | null, clear: () => void): LineIndex {
    const fault = (line: number, reason: string): void => {
      if (faults.length < FAULTS) faults.push(`line ${line + 1} of ${name} ${reason}`);
    };
    return createLineIndex(() => fence.open(join(folder.path, name)), {
      onLine(bytes, line) {
        const reason = take(bytes.toString('utf8'), line);
        if (reason !== null) fault(line, reason);
      },
      onOverlong: (line) => fault(line, 'is too long to be read'),
      onReset: () => {
        resets++;
        faults.splice(0, faults.length, ...faults.filter((text) => !text.includes(` of ${name} `)));
        clear();
      },
    });
  }

  const log = follow('logging.jsonl', metrics.line, metrics.clear);
  const texts = follow('completions.jsonl', table.line, table.clear);

  async function args(): Promise<JsonObject | null> {
    const handle = await fence.open(join(folder.path, 'args.json'));
    const fallback = isRefusal(handle) ? await fence.open(join(folder.path, 'sightline_args.json')) : handle;
    if (isRefusal(fallback)) return null;
    try {
      const { size } = await fallback.stat();
      if (size > ARGS_BYTES) return null;
      const parsed: unknown = JSON.parse(await fallback.readFile('utf8'));
      return isJsonObject(parsed) ? parsed : null;
    } catch {
      return null; // not JSON, or half-written: the next poll tries again
    } finally {
      await fallback.close();
    }
  }

  return {
    folder,
    metrics,
    table,
    attention,
    get version() {
      return version;
    },
    async poll() {
      known ??= await args();
      const changed = [await log.poll(), await texts.poll(), await attention.poll()];
      if (changed.includes(true)) version++;
      return changed.includes(true);
    },
    args: async () => (await args()) as Readonly<Record<string, Json>> | null,
    summary(now = Date.now()) {
      const dates = [log.changedAt(), texts.changedAt()].filter((date) => date !== null);
      const changedAt = dates.length === 0 ? null : Math.max(...dates);
      const { done, total } = [log, texts]
        .map((each) => each.progress())
        .reduce((a, b) => ({ done: a.done + b.done, total: a.total + b.total }));
      const end = metrics.end();
      const isFresh = changedAt !== null && now - changedAt < LIVE_MS;
      return {
        id: folder.id,
        name: folder.name,
        kind: known === null ? 'unknown' : '_sightline' in known ? 'sightline' : 'ms-swift',
        state: changedAt === null ? 'gone' : end !== null ? 'finished' : isFresh ? 'live' : 'stopped',
        changedAt,
        step: metrics.place()?.step ?? null,
        maxSteps: metrics.place()?.maxSteps ?? null,
        model: typeof known?.model === 'string' ? known.model : null,
        metrics: metrics.metrics(),
        completions: table.rows,
        groups: table.groups.length,
        columns: table.columns(),
        read: { done, total },
        end,
        faults,
        attentionSteps: attention.steps(),
      };
    },
    async tableAt(line) {
      const key = `${resets} ${line}`;
      const cached = tables.get(key);
      if (cached !== undefined) return cached;
      const bytes = await texts.read(line);
      if (isRefusal(bytes)) return null;
      const parsed = parseTable(bytes.toString('utf8'));
      if (parsed !== null) tables.set(key, parsed, bytes.length * 2);
      return parsed;
    },
    async search(words, signal) {
      const found = new Set<number>();
      const sought = words.toLowerCase();
      for (let line = 0; ; line++) {
        signal.throwIfAborted();
        const first = table.firstRow(line);
        const bytes = await texts.read(line);
        if (bytes === 'missing') return found; // after the last line
        const parsed = isRefusal(bytes) || first === null ? null : parseTable(bytes.toString('utf8'));
        if (parsed === null) continue;
        const prompts = new Map<unknown, boolean>();
        for (const [i, completion] of (parsed.completion as readonly string[]).entries()) {
          const prompt = parsed.prompt![i] as string;
          if (!prompts.has(prompt)) prompts.set(prompt, prompt.toLowerCase().includes(sought));
          if (prompts.get(prompt) || completion.toLowerCase().includes(sought)) found.add(first! + i);
        }
      }
    },
  };
}

// --- internal ---

/** Texts that are kept parsed, so that the next completion of a group needs no reading. */
const TABLE_BYTES = 16 * 2 ** 20;
const ARGS_BYTES = 8 * 2 ** 20;
const FAULTS = 20;
/** A step of a large model may take minutes. */
const LIVE_MS = 10 * 60_000;
