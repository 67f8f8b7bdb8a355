/**
 * Decides whether an answer equals the reference: simple cases directly, others in a process with a deadline and a memory cap.
 * Knows how to survive hostile expressions; knows no algebra.
 */
import type { ChildProcess } from 'node:child_process';
import { SightlineError } from '../../errors.ts';
import { holdRun, moduleArguments, startProgram } from '../../util/child_program.ts';
import type { MathVerdict } from './compare.ts';
import { quickEqual } from './equal_numbers.ts';

/** `timeout`: no verdict within the deadline or the memory cap. */
export type MathCheck = MathVerdict | 'timeout';

/** Wall-clock time for one pair. */
const deadlineMs = 2_000;
const startMs = 60_000;
const memoryMb = 256;

/**
 * Compares two normalised answers (`normalizeMath`, `extractMath`). An expression that hangs or fills memory ends the maths
 * process, not the run, and the next pair gets a new process. One process serves all rewards, one pair at a time.
 *
 * @throws SightlineError E_MATH_PROCESS if the process does not start
 */
export function checkMath(reference: string, answer: string, limits = { deadlineMs }): Promise<MathCheck> {
  const quick = quickEqual(reference, answer);
  if (quick !== undefined) return Promise.resolve(quick ? 'equal' : 'different');
  const verdict = queue.then(() => ask(reference, answer, limits.deadlineMs));
  queue = verdict.catch(() => undefined);
  return verdict;
}

// --- internal ---

let current: ChildProcess | undefined;
let queue: Promise<unknown> = Promise.resolve();

async function ask(reference: string, answer: string, limitMs: number): Promise<MathCheck> {
  current ??= await start();
  const child = current;
  holdRun(child, true);
  const reply = nextMessage(child, limitMs);
  child.send({ reference, answer }, () => undefined); // a failed send means that the child exits, which nextMessage sees
  const verdict = await reply;
  if (verdict === undefined) {
    child.kill('SIGKILL');
    if (current === child) current = undefined;
    return 'timeout';
  }
  holdRun(child, false);
  return verdict as MathVerdict;
}

async function start(): Promise<ChildProcess> {
  const program = moduleArguments(import.meta.url, 'worker');
  const child = startProgram(program, memoryMb);
  if ((await nextMessage(child, startMs)) === undefined) {
    child.kill('SIGKILL');
    throw new SightlineError('E_MATH_PROCESS', 'the process that compares mathematical answers did not start', {
      where: program.at(-1)!,
      hint: `check that ${process.execPath} can start another process, and that decimal.js and fraction.js are installed`,
      exitCode: 1,
    });
  }
  return child;
}

/** The next message; undefined if the child dies or the time runs out first. */
function nextMessage(child: ChildProcess, limitMs: number): Promise<unknown> {
  return new Promise((resolve) => {
    const done = (message: unknown) => {
      clearTimeout(timer);
      child.off('message', done).off('error', lost).off('exit', lost);
      resolve(message);
    };
    const lost = () => done(undefined);
    const timer = setTimeout(lost, limitMs);
    child.on('message', done).on('error', lost).on('exit', lost);
  });
}
