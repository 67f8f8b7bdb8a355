/**
 * Shows a run on a terminal: a progress bar with the main numbers, which stays in place below what is printed, or one plain line
 * per log record if the output is not an interactive terminal.
 */
import type { Listener, Metrics, ShownSignal, StartEvent, TrainEvent } from '../train/events.ts';
import { cleanText } from '../util/clean_text.ts';
import { formatDuration } from '../util/duration.ts';
import { bestWorstTable } from './best_worst.ts';
import { loadingText } from './loading.ts';
import { createPhaseClock, type PhaseClock } from './phase.ts';
import { completionScreen, endScreen, logLine, mainNumbers, quietLine, startScreen } from './screens.ts';
import { createStopwatch, type Stopwatch } from './stopwatch.ts';
import { cutText, formatNumber } from './text.ts';

/** An output for text, such as `process.stdout`. */
export interface Terminal {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ConsoleOptions {
  readonly title: string;
  /** Number of completions printed per `completions` event; a terminal shows the best and the worst one at most. */
  readonly completionsToPrint: number;
  /** Whether the run also writes TensorBoard files. */
  readonly eventFiles: boolean;
  /** Read for CI and NO_COLOR. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stopwatch?: Stopwatch;
  /** Commands to suggest for a checkpoint; by default those of sightline. */
  readonly nextCommands?: (checkpoint: string) => readonly string[];
}

/** Shows the run on `out`. Writes control codes only to a terminal outside CI, and colours only if NO_COLOR is not set. */
export function consoleReport(out: Terminal, options: ConsoleOptions): Listener {
  const live = out.isTTY === true && !isSet(options.env.CI) && options.env.TERM !== 'dumb';
  const colour = live && (options.env.NO_COLOR ?? '') === '';
  const stopwatch = options.stopwatch ?? createStopwatch();
  const phase = createPhaseClock();
  const loading = loadingText(live);
  let bar = '';
  let latest: Metrics = {};
  let start: Pick<StartEvent, 'changed' | 'signals'> = { changed: {} };
  /** Progress of the run; null before it starts. */
  let place: { readonly unit: string; step: number; readonly maxSteps: number } | null = null;
  let isDryRun = false;
  let lastOutput = performance.now();
  /** Number of status lines written since the last other output. */
  let quietLines = 0;
  let timer: NodeJS.Timeout | null = null;

  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[22m` : text);
  const yellow = (text: string) => (colour ? `\u001b[33m${text}\u001b[39m` : text);
  const draw = (next: string) => {
    bar = next;
    if (live) out.write(`\r\u001b[2K${bar}`);
  };
  const print = (lines: readonly string[]) => {
    if (lines.length === 0) return;
    lastOutput = performance.now();
    quietLines = 0;
    out.write(`${bar === '' ? '' : '\r\u001b[2K'}${lines.join('\n')}\n${bar}`);
  };
  const drawBar = () => {
    if (!live) return;
    const columns = out.columns ?? 80;
    if (place !== null)
      draw(progressBar({ ...place, metrics: latest, signals: start.signals, stopwatch, phase, columns }));
    else draw(cutText(phase.text() ?? '', Math.max(1, columns - 1)));
  };
  const tick = () => {
    const text = phase.text();
    if (text === null) return;
    if (live) drawBar();
    else if (performance.now() - lastOutput >= (quietLines === 0 ? FIRST_SILENCE_MS : SILENCE_MS)) {
      const lines = quietLines;
      print([isDryRun ? `dry run: ${text}` : quietLine(text, phase.isInStep(), place, stopwatch)]);
      quietLines = lines + 1;
    }
  };
  const stopTicking = () => {
    if (timer !== null) clearInterval(timer);
    timer = null;
  };

  return {
    onEvent(event: TrainEvent) {
      timer ??= setInterval(tick, TICK_MS).unref();
      stopwatch.onEvent(event);
      phase.onEvent(event);
      switch (event.type) {
        case 'loading': {
          const text = loading(event);
          if (bar !== '' || text.bar !== null) draw(cutText(text.bar ?? '', Math.max(1, (out.columns ?? 80) - 1)));
          if (text.line !== null) print([text.line]);
          break;
        }
        case 'start': {
          const { command, step, maxSteps } = event;
          start = event;
          draw('');
          print([bold(options.title), ...startScreen(event), '']);
          isDryRun = event.dryRun === true;
          if (isDryRun) break;
          place = { unit: command === 'score' ? 'row' : 'step', step, maxSteps };
          drawBar();
          break;
        }
        case 'progress':
          if (place !== null) place.step = event.step;
          drawBar();
          break;
        case 'log':
          latest = event.metrics;
          // On a terminal the bar shows the numbers in place.
          if (!live) print([logLine(event, stopwatch, start.signals)]);
          drawBar();
          break;
        case 'completions':
          print(
            live
              ? bestWorstTable(event.step, event.rows, {
                  count: Math.min(2, options.completionsToPrint),
                  rewardWeights: start.changed.reward_weights,
                  columns: out.columns ?? 80,
                })
              : completionScreen(event.step, event.rows, options.completionsToPrint),
          );
          break;
        case 'notice':
          print([event.level === 'warn' ? yellow(`warning: ${cleanText(event.text)}`) : cleanText(event.text)]);
          break;
        case 'eval':
          print([`evaluation at step ${event.step}: ${mainNumbers(event.metrics, start.signals).join(' | ')}`]);
          break;
        case 'checkpoint':
          print([`saved ${event.dir}`]);
          break;
        case 'end':
          stopTicking();
          draw('');
          print(['', ...endScreen(event, stopwatch, options.eventFiles, start, options.nextCommands)]);
          break;
        case 'phase':
          break;
      }
    },
    close() {
      stopTicking();
      // The bar of a started run stays on the screen; a line about its preparation is erased.
      if (live && bar !== '') out.write(place === null ? '\r\u001b[2K' : '\n');
      bar = '';
    },
  };
}

/**
 * `42% ████████░░░░ 17/40 [12s < 18s, 0.75 s/it] reward 3.2 ± 0.4 | loss 0.1 | rollout 310 tokens/s`. On a narrow terminal,
 * numbers that have no room are left out, because half of one would read as another.
 */
export function progressBar({
  step,
  maxSteps,
  metrics,
  signals = [],
  stopwatch,
  phase,
  columns,
}: {
  readonly step: number;
  readonly maxSteps: number;
  readonly metrics: Metrics;
  readonly signals?: readonly ShownSignal[];
  readonly stopwatch: Stopwatch;
  readonly phase: Pick<PhaseClock, 'shortText'>;
  readonly columns: number;
}): string {
  const share = maxSteps > 0 ? Math.min(1, step / maxSteps) : 0;
  const width = columns < 100 ? BAR_WIDTH / 2 : BAR_WIDTH;
  const filled = Math.round(share * width);
  const remaining = stopwatch.remaining(maxSteps);
  const ahead =
    remaining === null ? '?' : `${formatDuration(remaining)}, ${formatNumber(stopwatch.secondsPerStep())} s/it`;
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const times = `[${formatDuration(stopwatch.elapsed())} < ${ahead}]`;
  const head = `${percent} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${step}/${maxSteps} ${times}`;
  const room = Math.max(1, columns - 1);
  const now = phase.shortText();
  const numbers = mainNumbers(metrics, signals);
  const first = numbers.find((text) => text.startsWith('reward ')) ?? numbers[0];
  const others = numbers.filter((text) => text !== first);
  // The phase comes last, so that its changing length does not move the numbers, but before most of them in claiming room.
  const kept: string[] = [];
  let length = [...head].length;
  for (const text of [first, now, ...others]) {
    if (text === undefined || text === null) continue;
    const longer = length + text.length + (kept.length === 0 ? 1 : SEPARATOR.length);
    if (longer > room) continue;
    kept.push(text);
    length = longer;
  }
  const parts = [...kept.filter((text) => text !== now), ...kept.filter((text) => text === now)];
  return cutText(`${head} ${parts.join(SEPARATOR)}`.trimEnd(), room);
}

// --- internal ---

const SEPARATOR = ' | ';

/** Characters of the bar. Narrow terminals get half of it, to leave room for the numbers. */
const BAR_WIDTH = 20;

/** Interval of redrawing the bar and of checking for silence. */
const TICK_MS = 500;

/** Without a bar, a status line is printed after this much silence: the first and the following ones. */
const FIRST_SILENCE_MS = 8_000;
const SILENCE_MS = 60_000;

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== 'false' && value !== '0';
}
