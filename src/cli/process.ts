/**
 * Ties a command line to the process: signals, a closed pipe and errors outside of any call stop a run in good order,
 * streams that cannot be written do not stop it at all, and a run that is cut off is never taken for one that is done.
 */
import { setFlagsFromString } from 'node:v8';
import { formatError, messageOf, SightlineError } from '../errors.ts';
import type { CliCommand } from './commands.ts';
import { runCommandLine } from './program.ts';
import { strayFault } from './stray_error.ts';

/** SIGHUP: the terminal has gone, as when a connection drops. */
const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof EXIT_CODES;

/** What a shell makes of SIGPIPE, by which other programs end when their reader has gone (`sightline ... | head`). */
const CLOSED_PIPE = 141;

/**
 * Runs the process's own arguments and sets its exit code. The first SIGINT, SIGTERM or, on a terminal, SIGHUP aborts
 * `io.signal`, so that a run can save and end (130, 143 or 129 then); the second quits at once. A closed pipe (141,
 * without a word) and an error that nothing awaits (1) abort it too.
 */
export async function runProcess(commands: readonly CliCommand[]): Promise<void> {
  // Beside a run's tensors its objects are few; V8 would let their garbage grow to several times what is alive.
  setFlagsFromString('--heap-growing-percent=50');
  const run = new AbortController();
  /** Exit code of a run that is stopped from outside. */
  let stopped: number | null = null;
  let isOpen = true;
  const quit = (code: number): never => {
    isOpen = false;
    process.exit(code);
  };
  onWriteFaults(() => {
    if (!isOpen) process.exitCode ||= CLOSED_PIPE;
    stopped ??= CLOSED_PIPE;
    run.abort(new DOMException('stopped by a closed pipe', 'AbortError'));
  });
  const signals: StopSignal[] = [];
  for (const signal of Object.keys(EXIT_CODES) as StopSignal[]) {
    process.on(signal, () => {
      if (signal === 'SIGHUP' && !usesTerminal()) return;
      if (signals.length > 0) quit(EXIT_CODES[signal]);
      signals.push(signal);
      stopped ??= EXIT_CODES[signal];
      process.stderr.write(`\n${signal}: stopping cleanly; a second signal quits at once\n`);
      run.abort(new DOMException(`stopped by ${signal}`, 'AbortError'));
    });
  }
  const fail = (fault: SightlineError): void => {
    if (run.signal.aborted) return; // the first says it all; what a dying run throws would only hide it
    stopped ??= 1;
    process.stderr.write(`${formatError(fault)}\n`);
    run.abort(fault);
  };
  const stray = (thrown: unknown): void => {
    const fault = strayFault(thrown);
    if (fault !== null && isOpen) fail(fault);
    else {
      process.stderr.write(fault === null ? `error: ${stackOf(thrown)}\n` : `${formatError(fault)}\n`);
      quit(1);
    }
  };
  process.on('uncaughtException', stray);
  process.on('unhandledRejection', stray);
  process.on('beforeExit', () => {
    if (isOpen) fail(waitsForNothing());
  });
  process.on('exit', (code) => {
    if (!isOpen) return;
    process.stderr.write(`${formatError(cutOff(code))}\n`);
    if (code === 0) process.exitCode = 1;
  });
  const code = await runCommandLine(process.argv.slice(2), commands, {
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: run.signal,
  });
  isOpen = false;
  process.exitCode = code;
  if (stopped === null) return;
  // What a plugin has left running, a request or a timer, does not keep a stopped run alive.
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => {
      stream.write('', () => resolve());
    });
  }
  process.exit(stopped);
}

// --- internal ---

/** A run that uses no terminal, as under nohup, does not care that one has gone. (Node takes nohup's ignoring back.) */
const usesTerminal = (): boolean => [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY === true);

/**
 * A closed pipe is handed on. Any other stream that cannot be written, as on a full disk, must not cost a run: it is
 * reported once, on the stream that is left.
 */
function onWriteFaults(onClosedPipe: () => void): void {
  const streams = [
    ['standard output', process.stdout, process.stderr],
    ['standard error', process.stderr, process.stdout],
  ] as const;
  for (const [name, stream, other] of streams) {
    let isSaid = false;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return onClosedPipe();
      if (isSaid) return;
      isSaid = true;
      other.write(`warning: ${name} cannot be written; going on without it: ${error.message}\n`);
    });
  }
}

function waitsForNothing(): SightlineError {
  return new SightlineError('E_STRAY_ERROR', 'the run is waiting for something that can never happen', {
    hint: 'a plugin returned a promise that never settles: resolve it, or reject it after a timeout',
    exitCode: 1,
  });
}

function cutOff(code: number): SightlineError {
  return new SightlineError('E_CUT_OFF', `the process was ended before the run was done, with exit code ${code}`, {
    hint: 'look for process.exit in plugins and the modules they load, and throw an error instead; whatever was not saved is lost',
    exitCode: 1,
  });
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error && thrown.stack !== undefined ? thrown.stack : messageOf(thrown);
}
