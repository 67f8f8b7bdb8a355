/**
 * Ties a command line to the process: signals stop a run in good order, a closed pipe does not stop it at all.
 */
import { setFlagsFromString } from 'node:v8';
import type { CliCommand } from './commands.ts';
import { runCommandLine } from './program.ts';

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof EXIT_CODES;

/**
 * Runs the process's own arguments and sets its exit code. The first SIGINT or SIGTERM aborts `io.signal`, so that a
 * run can save and end (130 or 143 then); the second quits at once.
 */
export async function runProcess(commands: readonly CliCommand[]): Promise<void> {
  // Beside a run's tensors its objects are few; V8 would let their garbage grow to several times what is alive.
  setFlagsFromString('--heap-growing-percent=50');
  for (const stream of [process.stdout, process.stderr]) {
    // a reader that went away (`sightline ... | head`) ends the reading, not the run
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
  const controller = new AbortController();
  const stopped: StopSignal[] = [];
  for (const signal of Object.keys(EXIT_CODES) as StopSignal[]) {
    process.on(signal, () => {
      if (stopped.length > 0) process.exit(EXIT_CODES[signal]);
      stopped.push(signal);
      process.stderr.write(`\n${signal}: stopping in good order; once more quits at once\n`);
      controller.abort(new DOMException(`stopped by ${signal}`, 'AbortError'));
    });
  }
  const code = await runCommandLine(process.argv.slice(2), commands, {
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: controller.signal,
  });
  process.exitCode = code;
  if (stopped[0] === undefined) return;
  // What a plugin has left running, a request or a timer, does not keep a stopped run alive.
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => {
      stream.write('', () => resolve());
    });
  }
  process.exit(EXIT_CODES[stopped[0]]);
}
