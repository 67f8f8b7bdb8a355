/**
 * Programs that may hang or fill memory, run in processes of their own. A process and not a worker thread, because a
 * thread that runs out of heap takes the whole process with it, whatever its resourceLimits. Knows no messages.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Starts Node.js on these words, with messages as its only way in and out: what libraries print is no part of a run's
 * output, and nothing is needed from the environment.
 *
 * @param memoryMb cap of its heap
 */
export function startProgram(words: readonly string[], memoryMb: number): ChildProcess {
  return spawn(process.execPath, [`--max-old-space-size=${memoryMb}`, ...words], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { SystemRoot: process.env.SystemRoot },
  });
}

/** Whether this process must stay for the child: only while an answer is due. */
export function holdRun(child: ChildProcess, hold: boolean): void {
  if (hold) {
    child.ref();
    child.channel?.ref();
  } else {
    child.unref();
    child.channel?.unref();
  }
}
