/**
 * The run on a terminal: a progress bar with the main numbers, or, where nobody looks at a bar, a plain line per log.
 */
import type { Listener, Metrics, TrainEvent } from '../train/events.ts';
import { cleanText } from '../util/clean_text.ts';
import { formatDuration } from '../util/duration.ts';
import { loadingText } from './loading.ts';
import { completionScreen, endScreen, logLine, mainNumbers, startScreen } from './screens.ts';
import { createStopwatch, type Stopwatch } from './stopwatch.ts';
import { cutText, formatNumber } from './text.ts';

/** Where text goes, as far as it matters here: `process.stdout` is one. */
export interface Terminal {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ConsoleOptions {
  readonly title: string;
  /** How many completions are printed per `completions` event. */
  readonly completionsToPrint: number;
  /** Whether TensorBoard files are written beside. */
  readonly eventFiles: boolean;
  /** Read for CI and NO_COLOR. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stopwatch?: Stopwatch;
}

/** Shows the run on `out`. Control codes are written only to a terminal outside CI, colours only without NO_COLOR. */
export function consoleReport(out: Terminal, options: ConsoleOptions): Listener {
  const live = out.isTTY === true && !isSet(options.env.CI) && options.env.TERM !== 'dumb';
  const colour = live && (options.env.NO_COLOR ?? '') === '';
  const stopwatch = options.stopwatch ?? createStopwatch();
  const loading = loadingText(live);
  let bar = '';
  let latest: Metrics = {};

  const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[22m` : text);
  const yellow = (text: string) => (colour ? `\u001b[33m${text}\u001b[39m` : text);
  const draw = (next: string) => {
    bar = next;
    if (live) out.write(`\r\u001b[2K${bar}`);
  };
  const print = (lines: readonly string[]) => {
    if (lines.length === 0) return;
    out.write(`${bar === '' ? '' : '\r\u001b[2K'}${lines.join('\n')}\n${bar}`);
  };

  return {
    onEvent(event: TrainEvent) {
      stopwatch.onEvent(event);
      switch (event.type) {
        case 'loading': {
          const text = loading(event);
          if (bar !== '' || text.bar !== null) draw(cutText(text.bar ?? '', Math.max(1, (out.columns ?? 80) - 1)));
          if (text.line !== null) print([text.line]);
          break;
        }
        case 'start':
          print([bold(options.title), ...startScreen(event), '']);
          if (live) draw(progressBar(event.step, event.maxSteps, latest, stopwatch, out.columns ?? 80));
          break;
        case 'progress':
          if (live) draw(progressBar(event.step, event.maxSteps, latest, stopwatch, out.columns ?? 80));
          break;
        case 'log':
          latest = event.metrics;
          print([logLine(event, stopwatch)]);
          if (live) draw(progressBar(event.step, event.maxSteps, latest, stopwatch, out.columns ?? 80));
          break;
        case 'completions':
          print(completionScreen(event.step, event.rows, options.completionsToPrint));
          break;
        case 'notice':
          print([event.level === 'warn' ? yellow(`warning: ${cleanText(event.text)}`) : cleanText(event.text)]);
          break;
        case 'eval':
          print([`evaluation at step ${event.step}: ${mainNumbers(event.metrics).join(' | ')}`]);
          break;
        case 'checkpoint':
          print([`saved ${event.dir}`]);
          break;
        case 'end':
          draw('');
          print(['', ...endScreen(event, stopwatch, options.eventFiles)]);
          break;
      }
    },
    close() {
      if (bar !== '') out.write('\n');
      bar = '';
    },
  };
}

/** `42% ████████░░░░ 17/40 [12s < 18s, 0.75 s/it] reward 3.2 ± 0.4 | …`, cut to one line of the terminal. */
export function progressBar(
  step: number,
  maxSteps: number,
  metrics: Metrics,
  stopwatch: Stopwatch,
  columns: number,
): string {
  const share = maxSteps > 0 ? Math.min(1, step / maxSteps) : 0;
  const filled = Math.round(share * BAR_WIDTH);
  const speed = stopwatch.secondsPerStep(step);
  const left = speed > 0 ? formatDuration((maxSteps - step) * speed) : '?';
  const times = `[${formatDuration(stopwatch.elapsed())} < ${left}, ${formatNumber(speed)} s/it]`;
  const numbers = mainNumbers(metrics).slice(0, 6).join(' | ');
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const line = `${percent} ${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${step}/${maxSteps} ${times} ${numbers}`;
  return cutText(line.trimEnd(), Math.max(1, columns - 1));
}

// --- internal ---

const BAR_WIDTH = 20;

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== 'false' && value !== '0';
}
