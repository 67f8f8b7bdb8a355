/**
 * Reads what a run has left behind, one of sightline or of ms-swift: arguments, records, completions, notices. Reads completions
 * once, line by line, and keeps sums and a few examples.
 */
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf, SightlineError } from '../errors.ts';
import { NOTICES_FILE } from '../train/run_files.ts';
import { isJsonObject, type JsonObject } from '../util/json.ts';

/** One record of logging.jsonl that belongs to a step. Evaluations have names that begin with `eval_`. */
export interface LogRecord {
  readonly step: number;
  readonly values: JsonObject;
}

/** A completion, for a verdict to point at. */
export interface Example {
  readonly step: number;
  /** file:line of its row, or its position in the table of completions. */
  readonly where: string;
  readonly text: string;
  readonly solution: string | null;
}

/** What a reward gave over the run. */
export interface RewardFacts {
  /** As in completions.jsonl. */
  readonly name: string;
  count: number;
  nulls: number;
  zeros: number;
  least: number;
  greatest: number;
  atLeast: number;
  atGreatest: number;
  distinct: Set<number>;
  /** Groups in which its values differ. */
  groupsThatDiffer: number;
  /** Completions whose value is 0 or null, the last ones. */
  misses: Example[];
}

export interface CompletionFacts {
  readonly count: number;
  readonly groups: number;
  /** Groups in which some reward differs but the advantages are all 0. */
  readonly cancelled: number;
  readonly firstCancelled: Example | null;
  /** Groups whose completions are all identical. */
  readonly identical: number;
  readonly withoutImage: number;
  readonly firstWithoutImage: Example | null;
  readonly hasTdr: boolean;
  readonly rewards: readonly RewardFacts[];
}

export interface Notice {
  readonly step: number;
  readonly text: string;
}

export interface RunLog {
  readonly dir: string;
  readonly args: JsonObject;
  readonly isMsSwift: boolean;
  readonly records: readonly LogRecord[];
  /** Null without a completions.jsonl. */
  readonly completions: CompletionFacts | null;
  readonly notices: readonly Notice[];
}

/** Errors: E_RUN_FOLDER for a folder that holds no run, or a log that cannot be read. */
export async function readRunLog(dir: string): Promise<RunLog> {
  const log = join(dir, 'logging.jsonl');
  if (!(statSync(dir, { throwIfNoEntry: false })?.isDirectory() ?? false)) throw noRun(dir, 'no such folder');
  if (!existsSync(log)) throw noRun(dir, 'there is no logging.jsonl in it');
  const args = readArgs(dir);
  const records: LogRecord[] = [];
  for await (const record of jsonLines(log)) {
    const step = Number(String(record['global_step/max_steps'] ?? '').split('/')[0] || Number.NaN);
    if (Number.isFinite(step)) records.push({ step, values: record });
  }
  const completions = join(dir, 'completions.jsonl');
  const notices: Notice[] = [];
  if (existsSync(join(dir, NOTICES_FILE))) {
    for await (const { step, text } of jsonLines(join(dir, NOTICES_FILE))) {
      if (typeof text === 'string') notices.push({ step: Number(step), text });
    }
  }
  return {
    dir,
    args,
    isMsSwift: !('_sightline' in args),
    records,
    completions: existsSync(completions) ? await readCompletions(completions, args, rewardLabels(records)) : null,
    notices,
  };
}

/** Labels of rewards, `L` of `rewards/L/mean`, in the order of the records. */
export function rewardLabels(records: readonly LogRecord[]): string[] {
  const names = records.flatMap(({ values }) => Object.keys(values));
  return [...new Set(names.flatMap((name) => /^rewards\/(.+)\/mean$/.exec(name)?.[1] ?? []))];
}

/** The values of a metric at the steps of training, as [step, value]; not those that are no numbers. */
export function curveOf({ records }: Pick<RunLog, 'records'>, metric: string): [number, number][] {
  return records.flatMap(({ step, values }): [number, number][] => {
    const value = values[metric];
    return typeof value === 'number' ? [[step, value]] : [];
  });
}

// --- internal ---

const KEPT_MISSES = 2;
const IMAGE_PAD = /<\|image_pad\|>|<image>|<\|vision_start\|>/;
/** Columns of completions.jsonl that are not rewards. */
const OTHER_COLUMNS = new Set(['step', 'prompt', 'completion', 'advantages', 'solution', 'source', 'index', 'images']);

function readArgs(dir: string): JsonObject {
  const path = join(dir, 'args.json');
  if (!existsSync(path)) return {};
  try {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isJsonObject(json) ? json : {};
  } catch (error) {
    throw noRun(dir, `args.json cannot be read: ${messageOf(error)}`);
  }
}

/** Lines that are JSON objects. A last line that is still being written is left out. */
async function* jsonLines(path: string): AsyncGenerator<JsonObject> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    const value = parsed(line) ?? parsed(line.replace(PYTHON_NUMBERS, '$1"$2"'));
    if (isJsonObject(value)) yield value;
  }
}

/** Numbers that Python writes into JSON, although JSON does not have them. */
const PYTHON_NUMBERS = /([:[,]\s*)(-?(?:NaN|Infinity))(?=\s*[,\]}])/g;

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

async function readCompletions(path: string, args: JsonObject, labels: readonly string[]): Promise<CompletionFacts> {
  const named = new Set([...(Array.isArray(args.reward_funcs) ? args.reward_funcs.map(String) : []), ...labels]);
  const size = typeof args.num_generations === 'number' && args.num_generations > 0 ? args.num_generations : 1;
  const rewards = new Map<string, RewardFacts>();
  let [count, groups, cancelled, identical, withoutImage] = [0, 0, 0, 0, 0];
  let firstCancelled: Example | null = null;
  let firstWithoutImage: Example | null = null;
  let hasTdr = false;
  for await (const table of jsonLines(path)) {
    const { step, prompt, completion, advantages } = table;
    if (!Array.isArray(step) || !Array.isArray(completion)) continue;
    const columns = Object.keys(table).filter((name) => named.has(name) && !OTHER_COLUMNS.has(name));
    hasTdr ||= Array.isArray(table.tdr) && table.tdr.some((value) => typeof value === 'number');
    const example = (i: number): Example => ({
      step: Number(step[i]),
      where: textAt(table.source, i) ?? `completion ${count + i + 1}`,
      text: textAt(completion, i) ?? '',
      solution: textAt(table.solution, i),
    });
    for (let from = 0; from < completion.length; from += size) {
      const rows = Array.from({ length: Math.min(size, completion.length - from) }, (_, i) => from + i);
      groups++;
      if (rows.length > 1 && new Set(rows.map((i) => completion[i])).size === 1) identical++;
      let someDiffer = false;
      for (const name of columns) {
        const facts = rewards.get(name) ?? newFacts(name);
        rewards.set(name, facts);
        const differs = addValues(facts, table[name], rows, example);
        someDiffer ||= differs;
      }
      const flat = Array.isArray(advantages) && rows.every((i) => advantages[i] === 0);
      if (someDiffer && flat) {
        cancelled++;
        firstCancelled ??= example(from);
      }
      for (const i of rows) {
        if (IMAGE_PAD.test(textAt(prompt, i) ?? '<image>')) continue;
        withoutImage++;
        firstWithoutImage ??= example(i);
      }
    }
    count += completion.length;
  }
  return {
    ...{ count, groups, cancelled, firstCancelled, identical, withoutImage, firstWithoutImage, hasTdr },
    rewards: [...rewards.values()],
  };
}

const newFacts = (name: string): RewardFacts => ({
  name,
  count: 0,
  nulls: 0,
  zeros: 0,
  least: Number.POSITIVE_INFINITY,
  greatest: Number.NEGATIVE_INFINITY,
  atLeast: 0,
  atGreatest: 0,
  distinct: new Set(),
  groupsThatDiffer: 0,
  misses: [],
});

/** Most different values that are told apart. */
const DISTINCT = 64;

/** Adds the values of one group; returns whether they differ. */
function addValues(
  facts: RewardFacts,
  column: unknown,
  rows: readonly number[],
  example: (i: number) => Example,
): boolean {
  const values = rows.map((i) =>
    Array.isArray(column) && typeof column[i] === 'number' ? (column[i] as number) : null,
  );
  for (const [k, value] of values.entries()) {
    facts.count++;
    if (value === null || value === 0) {
      facts.misses.push(example(rows[k]!));
      if (facts.misses.length > KEPT_MISSES) facts.misses.shift();
    }
    if (value === null) {
      facts.nulls++;
      continue;
    }
    if (value === 0) facts.zeros++;
    if (facts.distinct.size < DISTINCT) facts.distinct.add(value);
    if (value < facts.least) [facts.least, facts.atLeast] = [value, 0];
    if (value > facts.greatest) [facts.greatest, facts.atGreatest] = [value, 0];
    if (value === facts.least) facts.atLeast++;
    if (value === facts.greatest) facts.atGreatest++;
  }
  const differs = new Set(values.filter((value) => value !== null)).size > 1;
  if (differs) facts.groupsThatDiffer++;
  return differs;
}

function textAt(column: unknown, i: number): string | null {
  const value = Array.isArray(column) ? (column[i] as unknown) : undefined;
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function noRun(dir: string, what: string): SightlineError {
  return new SightlineError('E_RUN_FOLDER', `not the folder of a run: ${what}`, {
    where: dir,
    hint: 'give a folder that holds logging.jsonl, such as output/v0-20261127-101500',
  });
}
