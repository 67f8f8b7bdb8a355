#!/usr/bin/env node
/**
 * The `sightline` program: hands the process to the command line and makes signals and closed pipes harmless.
 */
import { commands } from './commands.ts';
import { runCommandLine } from './program.ts';

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

// A reader that went away (`sightline ... | head`) ends the reading, not the run.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const controller = new AbortController();
let interrupted: keyof typeof SIGNALS | null = null;

for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (interrupted !== null) process.exit(SIGNALS[name]);
    interrupted = name;
    process.stderr.write(`\n${name}: finishing this step and saving; once more quits at once\n`);
    controller.abort(new DOMException(`stopped by ${name}`, 'AbortError'));
  });
}

const code = await runCommandLine(process.argv.slice(2), commands, {
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: controller.signal,
});
// assigned from a handler, which the compiler does not see
const signal = interrupted as keyof typeof SIGNALS | null;
process.exitCode = signal === null ? code : SIGNALS[signal];
