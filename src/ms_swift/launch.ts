/**
 * Runs ms-swift as a child process. Writes its output into a file, passes signals on, and leaves no process behind.
 * Does not read the output.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, SightlineError } from '../errors.ts';
import { processTree } from './process_tree.ts';

export interface Launch {
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For standard output and standard error. */
  readonly logFile: string;
  readonly signal: AbortSignal;
  /** Called a few times per second while it runs. */
  readonly onTick: () => Promise<void>;
}

/** Returns the exit code (128 + n after signal n) when all processes have ended. */
export async function launch({ command: [program, ...words], env, logFile, signal, onTick }: Launch): Promise<number> {
  signal.throwIfAborted();
  const log = openSync(logFile, 'a');
  const child = spawn(program, words, { stdio: ['ignore', log, log], env: { ...env }, detached: true });
  closeSync(log);
  const ended = new Promise<number>((resolve, reject) => {
    child.on('exit', (code, by) => resolve(code ?? 128 + (constants.signals[by!] ?? 0)));
    child.on('error', (error) =>
      reject(new SightlineError('E_ENGINE', `${program} cannot be started: ${messageOf(error)}`, { cause: error })),
    );
  });
  if (child.pid === undefined) return ended;
  const tree = processTree(child.pid);
  const kill = (): void => {
    tree.look();
    tree.signal('SIGKILL');
  };
  process.on('exit', kill);
  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  let code: number | null = null;
  ended.then(
    (of) => {
      code = of;
    },
    () => undefined, // awaited below
  );
  try {
    for (let tick = 0; code === null && !signal.aborted; tick++) {
      if (tick % TICKS_A_LOOK === 0) tree.look();
      await onTick();
      await Promise.race([ended, sleep(TICK_MS), stopped]);
    }
    if (signal.aborted) {
      tree.look();
      signalGroup(child.pid, signalOf(signal.reason));
    }
    await endAll(tree, onTick, signal.aborted ? PATIENCE_MS : AFTER_END_MS);
    return await ended;
  } finally {
    process.off('exit', kill);
  }
}

// --- internal ---

const TICK_MS = 300;
const TICKS_A_LOOK = 5;
/** After a signal. torchrun waits up to 30 s for its workers. */
const PATIENCE_MS = 45_000;
/** For processes that still run when the first one has ended by itself. */
const AFTER_END_MS = 10_000;

async function endAll(tree: ReturnType<typeof processTree>, onTick: Launch['onTick'], patience: number): Promise<void> {
  const until = performance.now() + patience;
  while (tree.isAlive() && performance.now() < until) {
    tree.look();
    await onTick();
    await sleep(TICK_MS);
  }
  tree.signal('SIGTERM');
  for (let waited = 0; tree.isAlive() && waited < 2000; waited += TICK_MS) await sleep(TICK_MS);
  tree.signal('SIGKILL');
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error; // it has just ended
  }
}

/** The signal in the reason that `runProcess` aborts with. */
function signalOf(reason: unknown): NodeJS.Signals {
  const name = /\bSIG[A-Z]+\b/.exec(messageOf(reason))?.[0];
  return name === 'SIGINT' || name === 'SIGHUP' ? name : 'SIGTERM';
}
