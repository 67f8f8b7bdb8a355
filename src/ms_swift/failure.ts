/**
 * Finds in the output of ms-swift why it failed: the first exception, not those that followed from it.
 */
import { SightlineError } from '../errors.ts';

/**
 * @param log output of ms-swift, or the end of it
 * @param code exit code of ms-swift, which becomes that of sightline
 */
export function failureOf(log: string, code: number, logFile: string): SightlineError {
  const blocks = exceptionsOf(log);
  const own = blocks.find(({ name }) => name.endsWith('SightlineError'));
  const details = { where: logFile, exitCode: code };
  if (own !== undefined) {
    const rank = /^on rank .*$/m.exec(own.text)?.[0];
    const [message, ...rest] = own.text.replace(/\n?^on rank .*$/m, '').split(/^ {2}fix: /m);
    return new SightlineError('E_ENGINE_FAILED', `${message!.trimEnd()}${rank === undefined ? '' : `\n  ${rank}`}`, {
      ...details,
      hint: rest.join(' ').trimEnd() || WHOLE_LOG,
    });
  }
  const first = blocks.find(({ name }) => !FOLLOWS.test(name)) ?? blocks[0];
  const how = code > 128 ? `was ended by signal ${code - 128}` : `ended with exit code ${code}`;
  if (first !== undefined) {
    const message = `ms-swift ${how}: ${first.name}${first.text === '' ? '' : `: ${first.text}`}`;
    const raised = first.place === null ? '' : `raised at ${first.place}; `;
    return new SightlineError('E_ENGINE_FAILED', cut(message), { ...details, hint: raised + WHOLE_LOG });
  }
  const last = linesOf(log)
    .filter((line) => line.trim() !== '')
    .slice(-LAST_LINES);
  const said =
    last.length === 0
      ? 'its log is empty'
      : ['the last lines of its log:', ...last.map((line) => `  ${line}`)].join('\n');
  const hint =
    code === KILLED ? `memory may have run out; lower --per_device_train_batch_size. ${WHOLE_LOG}` : WHOLE_LOG;
  return new SightlineError('E_ENGINE_FAILED', cut(`ms-swift ${how}; ${said}`), { ...details, hint });
}

// --- internal ---

interface Exception {
  readonly name: string;
  readonly text: string;
  /** file:line of the innermost frame. */
  readonly place: string | null;
}

const WHOLE_LOG = 'read the log';
const LAST_LINES = 8;
const LONGEST = 2000;
const KILLED = 137;

const TRACEBACK = 'Traceback (most recent call last):';
const CHAINED = /^(During handling of the above exception|The above exception was the direct cause)/;
/** Exceptions that are raised because another process has failed. */
const FOLLOWS = /(ChildFailedError|CalledProcessError|DistBackendError|DistNetworkError|SignalException)$/;

/** Exceptions in the order in which they were raised; of a chain of exceptions, the last one. */
function exceptionsOf(log: string): Exception[] {
  const found: Exception[] = [];
  const lines = linesOf(log);
  let isChained = false;
  for (let i = 0; i < lines.length; i++) {
    if (CHAINED.test(lines[i]!)) isChained = true;
    if (lines[i] !== TRACEBACK) continue;
    let place: string | null = null;
    for (i++; i < lines.length && /^\s|^$/.test(lines[i]!); i++) {
      const [, file, line] = /^ {2}File "(.+)", line (\d+)/.exec(lines[i]!) ?? [];
      if (file !== undefined) place = `${file}:${line}`;
    }
    const [, name, text = ''] = /^([\w.]+)(?:: ?(.*))?$/.exec(lines[i] ?? '') ?? [];
    if (name === undefined) continue;
    const more: string[] = [];
    while (i + 1 < lines.length && /^ {2}\S|^on rank /.test(lines[i + 1]!)) more.push(lines[++i]!);
    if (isChained) found.pop();
    isChained = false;
    found.push({ name, text: [text, ...more].join('\n'), place });
  }
  return found;
}

/** Lines without the rank that torch prefixes and without progress bars. */
function linesOf(log: string): string[] {
  return log.split('\n').map((line) => line.slice(line.lastIndexOf('\r') + 1).replace(/^\[rank\d+\]:\s?/, ''));
}

function cut(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)} …`;
}
