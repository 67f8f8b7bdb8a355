/**
 * Asks whether an answer equals the reference: plain cases at once, the others in a process with a deadline and a memory cap.
 * Knows how to outlive hostile expressions; knows no algebra.
 */
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { SightlineError } from '../../errors.ts';
import { holdRun, startProgram } from '../../util/child_program.ts';
import type { MathVerdict } from './compare.ts';
import { quickEqual } from './equal_numbers.ts';

/** `timeout`: no verdict within the deadline or the memory cap. */
export type MathCheck = MathVerdict | 'timeout';

/** Wall time for one pair. */
const deadlineMs = 2_000;
const startMs = 60_000;
const memoryMb = 256;

/**
 * Compares two normalised answers (`normalizeMath`, `extractMath`). Expressions that hang or fill memory end the maths
 * process, not the run; the next pair gets a new one. One serves all rewards, one pair at a time.
 */
export function checkMath(reference: string, answer: string, limits = { deadlineMs }): Promise<MathCheck> {
  const quick = quickEqual(reference, answer);
  if (quick !== undefined) return Promise.resolve(quick ? 'equal' : 'different');
  const turn = queue.then(() => ask(reference, answer, limits.deadlineMs));
  queue = turn.catch(() => undefined);
  return turn;
}

// --- internal ---

let current: ChildProcess | undefined;
let queue: Promise<unknown> = Promise.resolve();

async function ask(reference: string, answer: string, limitMs: number): Promise<MathCheck> {
  current ??= await start();
  const asked = current;
  holdRun(asked, true);
  const reply = nextMessage(asked, limitMs);
  asked.send({ reference, answer }, () => undefined); // a failed send shows as the exit that nextMessage waits for
  const verdict = await reply;
  if (verdict === undefined) {
    asked.kill('SIGKILL');
    if (current === asked) current = undefined;
    return 'timeout';
  }
  holdRun(asked, false);
  return verdict as MathVerdict;
}

async function start(): Promise<ChildProcess> {
  const fromSource = import.meta.url.endsWith('.ts');
  const entry = fileURLToPath(new URL(fromSource ? './worker.ts' : './worker.js', import.meta.url));
  // From TypeScript sources (tests, development) it needs the same loader as plugins do.
  const program = fromSource
    ? [
        '-e',
        `require(${quoted(createRequire(import.meta.url).resolve('jiti'))}).createJiti(${quoted(entry)}, { fsCache: false }).import(${quoted(entry)})`,
      ]
    : [entry];
  const child = startProgram(program, memoryMb);
  if ((await nextMessage(child, startMs)) === undefined) {
    child.kill('SIGKILL');
    throw new SightlineError('E_MATH_PROCESS', 'the process that compares mathematical answers did not start', {
      where: entry,
      hint: `check that ${process.execPath} can start another process, and that decimal.js and fraction.js are installed`,
      exitCode: 1,
    });
  }
  return child;
}

/** The next message; undefined if the child dies or the time is up first. */
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

function quoted(text: string): string {
  return JSON.stringify(text);
}
