/**
 * Runs programs that may hang or fill memory in child processes. Worker threads would not do: a thread that runs out of
 * heap takes the whole process with it, whatever its resourceLimits. Does not know which messages are exchanged.
 */
import { type ChildProcess, spawn } from 'node:child_process';

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
