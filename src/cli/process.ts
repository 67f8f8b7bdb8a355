/**
 * Connects a command line to the process. Signals, a closed pipe and unhandled errors stop a run cleanly; other write errors of
 * standard output do not stop it; and a run that ends too early never exits with 0.
 */
import { setFlagsFromString } from 'node:v8';
import { formatError, messageOf, SightlineError } from '../errors.ts';
import type { CliCommand } from './commands.ts';
import { runCommandLine } from './program.ts';
import { strayFault } from './stray_error.ts';

/** SIGHUP means that the terminal has closed, for instance because a connection dropped. */
const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof EXIT_CODES;

/** The exit code for SIGPIPE, which other programs end with if their reader exits (`sightline ... | head`). */
const CLOSED_PIPE = 141;

/**
 * Runs the process's arguments and sets the exit code. The first SIGINT, SIGTERM or, on a terminal, SIGHUP aborts `io.signal`,
 * so that a run can save and end (exit code 130, 143 or 129); the second one exits at once. A closed pipe (141, without a
 * message) and an unhandled error (1) abort it too.
 */
export async function runProcess(commands: readonly CliCommand[]): Promise<void> {
  // JavaScript objects are few compared with tensors. By default V8 would let their garbage grow to several times the live heap.
  setFlagsFromString('--heap-growing-percent=50');
  const run = new AbortController();
  /** Exit code of a run that was stopped; null if it was not. */
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
    if (run.signal.aborted) return; // errors of an already aborted run would only hide the first one
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
  // Exits explicitly, so that a request or timer of a plugin does not keep a stopped run alive.
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => {
      stream.write('', () => resolve());
    });
  }
  process.exit(stopped);
}

// --- internal ---

/** Whether the run uses a terminal. One under nohup does not, and ignores SIGHUP: Node resets nohup's own handling. */
const usesTerminal = (): boolean => [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY === true);

/**
 * Handles write errors of standard output and standard error. A closed pipe calls `onClosedPipe`. Any other error, such as a
 * full disk, is only reported once on the other stream, so that it does not end a run.
 */
function onWriteFaults(onClosedPipe: () => void): void {
  const streams = [
    ['standard output', process.stdout, process.stderr],
    ['standard error', process.stderr, process.stdout],
  ] as const;
  for (const [name, stream, other] of streams) {
    let isReported = false;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') return onClosedPipe();
      if (isReported) return;
      isReported = true;
      other.write(`warning: ${name} cannot be written; the run continues without it: ${error.message}\n`);
    });
  }
}

function waitsForNothing(): SightlineError {
  return new SightlineError('E_STRAY_ERROR', 'the run waits for something that can never happen', {
    hint: 'a plugin has returned a promise that never settles; resolve it, or reject it after a timeout',
    exitCode: 1,
  });
}

function cutOff(code: number): SightlineError {
  return new SightlineError('E_CUT_OFF', `the process exited before the run had ended, with exit code ${code}`, {
    hint: 'look for process.exit in plugins and the modules that they load, and throw an error instead; unsaved progress is lost',
    exitCode: 1,
  });
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error && thrown.stack !== undefined ? thrown.stack : messageOf(thrown);
}
