/**
 * Formats events as lines of text: start screen, log line, completions, summary.
 */
import { dirname, extname, join } from 'node:path';
import { metricOf } from '../metrics/table.ts';
import { SYSTEM_FILE } from '../train/checkpoint_files.ts';
import type { CompletionRow, EndEvent, LogEvent, Metrics, ShownSignal, StartEvent } from '../train/events.ts';
import { cleanText } from '../util/clean_text.ts';
import { formatDuration, formatShortDuration } from '../util/duration.ts';
import type { Json } from '../util/json.ts';
import { plural } from '../util/plural.ts';
import { shellWord } from '../util/shell_word.ts';
import type { Stopwatch } from './stopwatch.ts';
import { alignColumns, cutText, formatCount, formatNumber, oneLine } from './text.ts';

/** The screen before the first step: model, data, arguments that differ from their default, output folder, steps. */
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
    ...(event.resumedFrom === undefined ? [] : [`resumed  from ${event.resumedFrom}`]),
    `steps    ${event.step === 0 ? '' : `${event.step} done, up to `}${event.maxSteps}`,
  ];
}

/**
 * One log record as one line.
 *
 * @param signals those of the start event
 */
export function logLine(event: LogEvent, stopwatch: Stopwatch, signals: readonly ShownSignal[] = []): string {
  const columns = stopwatch.columns(event.step, event.maxSteps);
  return [
    `step ${columns['global_step/max_steps']}`,
    `epoch ${event.epoch.toFixed(2)}`,
    ...mainNumbers(event.metrics, signals),
    `${formatNumber(Number(columns['train_speed(s/it)']))} s/it`,
    ...(columns['memory(GiB)'] === undefined ? [] : [`${columns['memory(GiB)']} GiB`]),
    ...(columns['device_memory(GiB)'] === undefined ? [] : [`device ${columns['device_memory(GiB)']} GiB`]),
    `elapsed ${columns.elapsed_time}`,
    `remaining ${columns.remaining_time}`,
  ].join(' | ');
}

/**
 * A status line for a time without other output.
 *
 * @param phase description of the current phase
 * @param isInStep whether the phase is part of the next step
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

/** The most important numbers, each as `name value`. */
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

/** The first `count` completions with their rewards. Each prompt is shown once. */
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
      lines.push(`  prompt (${oneLine(row.row.source, LONGEST_TEXT)}): ${oneLine(prompt, LONGEST_TEXT)}`);
    }
    const rewards = Object.entries(row.rewards).map(
      ([name, value]) => `${name} ${value === null ? 'null' : formatNumber(value)}`,
    );
    const extras = Object.entries(row.extras).map(([name, value]) => `${name} ${cutText(showJson(value), 40)}`);
    lines.push(`  > ${oneLine(row.completion, LONGEST_TEXT)}`);
    lines.push(`    ${[`advantage ${formatNumber(row.advantage)}`, ...rewards, ...extras].join(' | ')}`);
  }
  return lines;
}

/**
 * The screen after the last step: metrics before and after, time, memory, paths, and commands to run next.
 *
 * @param eventFiles whether there are files for TensorBoard
 * @param nextCommands commands for a checkpoint
 */
export function endScreen(
  event: EndEvent,
  stopwatch: Pick<Stopwatch, 'elapsed' | 'memory' | 'deviceMemory'>,
  eventFiles: boolean,
  { changed, signals = [] }: Pick<StartEvent, 'changed' | 'signals'> = { changed: {} },
  nextCommands = (checkpoint: string): readonly string[] => commandsAfter(changed, checkpoint),
): string[] {
  const parts = Object.entries(event.seconds).map(([name, seconds]) => `${name} ${formatShortDuration(seconds)}`);
  const verb = event.status === 'completed' ? 'done' : 'stopped';
  const time = formatShortDuration(stopwatch.elapsed()) + (parts.length === 0 ? '' : ` (${parts.join(', ')})`);
  const lines = [`${verb}: ${event.step} of ${event.maxSteps} steps in ${time}`];
  lines.push(...comparison(['logged', 'first', 'last'], event.firstLog, event.lastLog, signals));
  lines.push(...comparison(['evaluation', 'before', 'after'], event.evalBefore, event.evalAfter, signals));
  const memory = stopwatch.memory();
  if (memory !== null) lines.push(`memory      ${memory} GiB at most`);
  const onDevice = stopwatch.deviceMemory();
  if (onDevice !== null) lines.push(`on device   ${onDevice} GiB at most`);
  lines.push(`output      ${event.outputDir}`);
  if (event.lastCheckpoint === null) return [...lines, 'checkpoint  none was saved'];
  lines.push(`checkpoint  ${event.lastCheckpoint}`);
  if (event.bestCheckpoint !== null && event.bestMetric !== null) {
    lines.push(`best        ${event.bestCheckpoint} (${formatNumber(event.bestMetric)})`);
  }
  return [
    ...lines,
    'next',
    ...nextCommands(event.lastCheckpoint).map((command) => `  ${command}`),
    `  sightline ui ${[event.outputDir, ...dataFolders(changed.dataset)].map(shellWord).join(' ')}`,
    ...(eventFiles ? [`  tensorboard --logdir ${shellWord(join(event.outputDir, 'runs'))}`] : []),
  ];
}

/** Commands of sightline for a checkpoint. `prompt`: flags for settings that the checkpoint does not store. */
export function commandsFor(checkpoint: string, prompt: string): string[] {
  const model = shellWord(checkpoint) + prompt;
  return [
    `sightline infer --model ${model} --image FILE`,
    `sightline score --model ${model} --dataset FILE.jsonl --output scores.jsonl`,
  ];
}

/** Commands of sightline for the folder of an adapter, whose args.json names its model and its system prompt. */
export function commandsForAdapter(checkpoint: string, prompt: string): string[] {
  const adapters = shellWord(checkpoint) + prompt;
  return [
    `sightline infer --adapters ${adapters} --image FILE`,
    `sightline score --adapters ${adapters} --dataset FILE.jsonl --output scores.jsonl`,
    `sightline export --adapters ${shellWord(checkpoint)} --merge_lora true --output_dir merged`,
  ];
}

// --- internal ---

/** Folders of the argument `dataset`, in which the images of its rows are: the page of runs shows files of the folders that it is given. */
function dataFolders(dataset: Json | undefined): string[] {
  const paths = Array.isArray(dataset) ? dataset.filter((path) => typeof path === 'string') : [];
  const folders = paths
    .map((path) => path.replace(/#\d+$/, ''))
    .map((path) => (extname(path) === '' ? path : dirname(path)));
  return [...new Set(folders)];
}

const commandsAfter = (changed: StartEvent['changed'], checkpoint: string): readonly string[] =>
  changed.tuner_type === 'lora'
    ? commandsForAdapter(checkpoint, promptWords({ ...changed, system: null }, checkpoint))
    : commandsFor(checkpoint, promptWords(changed, checkpoint));

const LONGEST_TEXT = 400;

/** Flags for prompt settings that the checkpoint format has no place for, to add to the next commands. */
function promptWords({ system, image_alpha }: StartEvent['changed'], checkpoint: string): string {
  const words = [
    ...(typeof system === 'string' ? ['--system', shellWord(join(checkpoint, SYSTEM_FILE))] : []),
    ...(typeof image_alpha === 'string' ? ['--image_alpha', image_alpha] : []),
  ];
  return words.map((word) => ` ${word}`).join('');
}

function showJson(value: Json): string {
  if (typeof value === 'number') return formatNumber(value);
  if (value === '') return '""';
  if (Array.isArray(value)) return value.map((item: Json) => showJson(item)).join(' ');
  return cutText(cleanText(typeof value === 'string' ? value.replaceAll('\n', ' ') : JSON.stringify(value)), 80);
}

/** A table of the main metrics before and after; empty if there is nothing after. */
function comparison(
  titles: readonly [string, string, string],
  before: Metrics | null,
  after: Metrics | null,
  signals: readonly ShownSignal[],
): string[] {
  if (after === null) return [];
  const isCompared = (name: string): boolean =>
    metricOf(name)?.isCompared === true ||
    signals.some(({ metric, correlation }) => name === metric || name.startsWith(correlation));
  const names = Object.keys(after).filter(isCompared);
  const show = (metrics: Metrics | null, name: string) => {
    const value = metrics?.[name];
    return value === undefined ? '-' : formatNumber(value);
  };
  if (names.length === 0) return [];
  return alignColumns([[...titles], ...names.map((name) => [name, show(before, name), show(after, name)])], '');
}
