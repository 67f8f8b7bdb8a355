/**
 * Runs programs that may hang or fill memory in child processes. Worker threads would not do: a thread that runs out of
 * heap takes the whole process with it, whatever its resourceLimits. Does not know which messages are exchanged.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * Starts Node.js with these arguments. Messages are the child's only way in and out: its stdout and stderr are discarded,
 * so that library output does not mix with the run's, and it gets an empty environment.
 *
 * @param memoryMb limit of the child's heap, in MB
 */
export function startProgram(args: readonly string[], memoryMb: number): ChildProcess {
  return spawn(process.execPath, [`--max-old-space-size=${memoryMb}`, ...args], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { SystemRoot: process.env.SystemRoot },
  });
}

/**
 * The arguments that run a module of this package as a program.
 *
 * @param base `import.meta.url` of a module beside it
 * @param name its file name, without an ending
 */
export function moduleArguments(base: string, name: string): string[] {
  const fromSource = base.endsWith('.ts');
  const entry = fileURLToPath(new URL(`./${name}.${fromSource ? 'ts' : 'js'}`, base));
  if (!fromSource) return [entry];
  // From TypeScript sources (tests, development) it needs the loader that plugins use.
  const loader = JSON.stringify(createRequire(import.meta.url).resolve('jiti'));
  const file = JSON.stringify(entry);
  return ['-e', `require(${loader}).createJiti(${file}, { fsCache: false }).import(${file})`];
}

/** Decides whether the child keeps this process alive: it should only while an answer is due. */
export function holdRun(child: ChildProcess, hold: boolean): void {
  if (hold) {
    child.ref();
    child.channel?.ref();
  } else {
    child.unref();
    child.channel?.unref();
  }
}
