/**
 * What a run shows of itself: start screen, log line, completions, summary. Events in, lines of text out.
 */
import { join } from 'node:path';
import { SYSTEM_FILE } from '../train/checkpoints.ts';
import type { CompletionRow, EndEvent, LogEvent, Metrics, ShownSignal, StartEvent } from '../train/events.ts';
import { cleanText } from '../util/clean_text.ts';
import { formatDuration, formatShortDuration } from '../util/duration.ts';
import type { Json } from '../util/json.ts';
import { plural } from '../util/plural.ts';
import type { Stopwatch } from './stopwatch.ts';
import { alignColumns, cutText, formatCount, formatNumber } from './text.ts';

/** Before the first step: model, data, what is not at its default, where things go. */
export function startScreen(event: StartEvent): string[] {
  const { model, data } = event;
  const share = model.parameters === 0 ? 0 : (100 * model.trainable) / model.parameters;
  const dropped = Object.entries(data.dropped).filter(([, count]) => count > 0);
  const changed = Object.entries(event.changed).map(([name, value]) => `${name} ${showJson(value)}`);
  return [
    `model    ${model.dir}`,
    `         ${model.architecture}, ${formatCount(model.parameters)} parameters, ${formatCount(model.trainable)} trained (${share.toFixed(1)}%)`,
    ...(model.notes ?? []).map((note) => `         note: ${note}`),
    `data     ${plural(data.rows, 'row')}${data.evalRows > 0 ? `, ${data.evalRows} for evaluation` : ''}${
      dropped.length === 0 ? '' : `; left out: ${dropped.map(([reason, count]) => `${count} (${reason})`).join(', ')}`
    }`,
    ...(changed.length === 0 ? [] : [`given    ${changed.join(', ')}`]),
    `output   ${event.dryRun === true ? 'none: a dry run writes nothing' : event.outputDir}`,
    `steps    ${event.step === 0 ? '' : `${event.step} done, up to `}${event.maxSteps}`,
  ];
}

/** One log record as one line; `signals` are those of the start event. */
export function logLine(event: LogEvent, stopwatch: Stopwatch, signals: readonly ShownSignal[] = []): string {
  const columns = stopwatch.columns(event.step, event.maxSteps);
  return [
    `step ${columns['global_step/max_steps']}`,
    `epoch ${event.epoch.toFixed(2)}`,
    ...mainNumbers(event.metrics, signals),
    `${formatNumber(Number(columns['train_speed(s/it)']))} s/it`,
    `${columns['memory(GiB)']} GiB`,
    `elapsed ${columns.elapsed_time}`,
    `remaining ${columns.remaining_time}`,
  ].join(' | ');
}

/**
 * What a run is doing, where nothing else has been said for a while.
 *
 * @param phase the text of its phase, and `isInStep`: whether that is part of the step to come
 */
export function quietLine(
  phase: string,
  isInStep: boolean,
  place: { readonly unit: string; readonly step: number; readonly maxSteps: number } | null,
  stopwatch: Stopwatch,
): string {
  if (place === null) return phase;
  const { unit, step, maxSteps } = place;
  const at = unit === 'step' && isInStep ? Math.min(step + 1, maxSteps) : step;
  const remaining = stopwatch.remaining(maxSteps);
  return [
    `${unit} ${at}/${maxSteps}`,
    phase,
    `elapsed ${formatDuration(stopwatch.elapsed())}`,
    ...(remaining === null ? [] : [`remaining ${formatDuration(remaining)}`]),
  ].join(' | ');
}

/** The numbers one looks at first, as `name value`. */
export function mainNumbers(metrics: Metrics, signals: readonly ShownSignal[] = []): string[] {
  const numbers: string[] = [];
  const add = (label: string, name: string) => {
    const value = metrics[name];
    if (value !== undefined) numbers.push(`${label} ${formatNumber(value)}`);
  };
  add('loss', 'loss');
  if (metrics.reward !== undefined) {
    const spread = metrics.reward_std === undefined ? '' : ` ± ${formatNumber(metrics.reward_std)}`;
    numbers.push(`reward ${formatNumber(metrics.reward)}${spread}`);
  }
  for (const name of Object.keys(metrics)) {
    const reward = /^rewards\/(.+)\/mean$/.exec(name)?.[1];
    if (reward !== undefined) add(reward, name);
  }
  for (const { label, metric } of signals) add(label, metric);
  add('kl', 'kl');
  add('length', 'completions/mean_length');
  add('grad_norm', 'grad_norm');
  add('lr', 'learning_rate');
  return numbers;
}

/** Some completions, each prompt once, with every score of every completion. */
export function completionScreen(step: number, rows: readonly CompletionRow[], count: number): string[] {
  const shown = rows.slice(0, count);
  if (shown.length === 0) return [];
  const lines = [`completions at step ${step} (${shown.length} of ${rows.length})`];
  let prompt: string | null = null;
  let source: string | null = null;
  for (const row of shown) {
    if (row.prompt !== prompt || row.row.source !== source) {
      ({ prompt } = row);
      source = row.row.source;
      lines.push(`  prompt (${oneLine(row.row.source)}): ${oneLine(prompt)}`);
    }
    const rewards = Object.entries(row.rewards).map(
      ([name, value]) => `${name} ${value === null ? 'null' : formatNumber(value)}`,
    );
    const extras = Object.entries(row.extras).map(([name, value]) => `${name} ${cutText(showJson(value), 40)}`);
    lines.push(`  > ${oneLine(row.completion)}`);
    lines.push(`    ${[`advantage ${formatNumber(row.advantage)}`, ...rewards, ...extras].join(' | ')}`);
  }
  return lines;
}

/**
 * After the last step: before and after, where time and memory went, where things are, what to do next.
 * `eventFiles`: whether there is something for TensorBoard to open; `changed`, `signals`: those of the start event.
 */
export function endScreen(
  event: EndEvent,
  stopwatch: Pick<Stopwatch, 'elapsed' | 'memory'>,
  eventFiles: boolean,
  { changed, signals = [] }: Pick<StartEvent, 'changed' | 'signals'> = { changed: {} },
): string[] {
  const parts = Object.entries(event.seconds).map(([name, seconds]) => `${name} ${formatShortDuration(seconds)}`);
  const verb = event.status === 'completed' ? 'done' : 'stopped';
  const time = formatShortDuration(stopwatch.elapsed()) + (parts.length === 0 ? '' : ` (${parts.join(', ')})`);
  const lines = [`${verb}: ${event.step} of ${event.maxSteps} steps in ${time}`];
  lines.push(...comparison(['logged', 'first', 'last'], event.firstLog, event.lastLog, signals));
  lines.push(...comparison(['evaluation', 'before', 'after'], event.evalBefore, event.evalAfter, signals));
  lines.push(`memory      ${stopwatch.memory()} GiB at most`);
  lines.push(`output      ${event.outputDir}`);
  if (event.lastCheckpoint === null) return [...lines, 'checkpoint  none was saved'];
  lines.push(`checkpoint  ${event.lastCheckpoint}`);
  if (event.bestCheckpoint !== null && event.bestMetric !== null) {
    lines.push(`best        ${event.bestCheckpoint} (${formatNumber(event.bestMetric)})`);
  }
  const isAdapter = changed.tuner_type === 'lora';
  const checkpoint = shellWord(event.lastCheckpoint);
  // An adapter's folder has args.json, which names its model and the system prompt.
  const model = isAdapter
    ? `--adapters ${checkpoint}${promptWords({ ...changed, system: null }, event.lastCheckpoint)}`
    : `--model ${checkpoint}${promptWords(changed, event.lastCheckpoint)}`;
  return [
    ...lines,
    'next',
    `  sightline infer ${model} --image FILE`,
    `  sightline score ${model} --dataset FILE.jsonl --output scores.jsonl`,
    ...(isAdapter ? [`  sightline export --adapters ${checkpoint} --merge_lora true --output_dir merged`] : []),
    ...(eventFiles ? [`  tensorboard --logdir ${shellWord(join(event.outputDir, 'runs'))}`] : []),
  ];
}

// --- internal ---

const LONGEST_TEXT = 400;

function oneLine(text: string): string {
  return cutText(cleanText(text).replaceAll('\n', ' ⏎ '), LONGEST_TEXT);
}

/** Settings of the prompt that the checkpoint's own format has no place for, as the next commands give them. */
function promptWords({ system, image_alpha }: StartEvent['changed'], checkpoint: string): string {
  const words = [
    ...(typeof system === 'string' ? ['--system', shellWord(join(checkpoint, SYSTEM_FILE))] : []),
    ...(typeof image_alpha === 'string' ? ['--image_alpha', image_alpha] : []),
  ];
  return words.map((word) => ` ${word}`).join('');
}

/** A path as it can be pasted into a shell. */
function shellWord(path: string): string {
  return /^[\w./:@%+,=-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function showJson(value: Json): string {
  if (typeof value === 'number') return formatNumber(value);
  if (value === '') return '""';
  if (Array.isArray(value)) return value.map((item: Json) => showJson(item)).join(' ');
  return cutText(cleanText(typeof value === 'string' ? value.replaceAll('\n', ' ') : JSON.stringify(value)), 80);
}

/** Two columns of metrics, for names that both (or the only one) have. */
function comparison(
  titles: readonly [string, string, string],
  before: Metrics | null,
  after: Metrics | null,
  signals: readonly ShownSignal[],
): string[] {
  if (after === null) return [];
  const isWorthIt = (name: string): boolean =>
    WORTH_COMPARING.some((pattern) => pattern.test(name)) ||
    signals.some(({ metric, correlation }) => name === metric || name.startsWith(correlation));
  const names = Object.keys(after).filter(isWorthIt);
  const show = (metrics: Metrics | null, name: string) => {
    const value = metrics?.[name];
    return value === undefined ? '-' : formatNumber(value);
  };
  if (names.length === 0) return [];
  return alignColumns([[...titles], ...names.map((name) => [name, show(before, name), show(after, name)])], '');
}

const WORTH_COMPARING = [
  /^reward$/,
  /^reward_std$/,
  /^rewards\/.+\/mean$/,
  /^loss$/,
  /^(token_)?acc(uracy)?$/,
  /^completions\/mean_length$/,
  /^kl$/,
  /^entropy\/mean$/,
];
