/**
 * A process with all that it has started, also what runs in sessions of its own, as the workers of torchrun do: so that
 * none is left behind. Knows process ids only.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isAlive } from '../util/is_alive.ts';

export interface ProcessTree {
  /** Takes note of processes started since the last look; one whose parent has ended cannot be found any more. */
  look(): void;
  /** Whether any of them runs. */
  isAlive(): boolean;
  /** Sends it to all that run. */
  signal(signal: NodeJS.Signals): void;
}

/** @param root started as the leader of a process group */
export function processTree(root: number): ProcessTree {
  /** When each was started, as far as the system says, so that a number which is given again is not taken for it. */
  const seen = new Map<number, string>([[root, startOf(root)]]);
  const alive = (): number[] =>
    [...seen].filter(([pid, start]) => isAlive(pid) && startOf(pid) === start).map(([pid]) => pid);
  return {
    look() {
      const parents = parentsOfAll();
      for (let found = true; found; ) {
        found = false;
        for (const [pid, parent] of parents) {
          if (!seen.has(parent) || seen.has(pid)) continue;
          seen.set(pid, startOf(pid));
          found = true;
        }
      }
    },
    isAlive: () => alive().length > 0,
    signal(signal) {
      for (const pid of alive()) {
        try {
          process.kill(pid, signal);
        } catch (error) {
          if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
        }
      }
    },
  };
}

// --- internal ---

const PROC = '/proc';
const hasProc = existsSync(`${PROC}/self/stat`);

/** State, parent and start of a process, fields 3, 4 and 22 of its stat; the name before them may hold anything. */
function statOf(pid: number): readonly string[] | null {
  try {
    const text = readFileSync(`${PROC}/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null; // it has ended
  }
}

function startOf(pid: number): string {
  if (!hasProc) return '';
  const stat = statOf(pid);
  return stat === null || stat[0] === 'Z' ? 'ended' : stat[19]!;
}

/** Parent by process. */
function parentsOfAll(): Map<number, number> {
  if (hasProc) {
    const pids = readdirSync(PROC).filter((name) => /^\d+$/.test(name));
    return new Map(
      pids.flatMap((pid) => {
        const stat = statOf(Number(pid));
        return stat === null ? [] : [[Number(pid), Number(stat[1])] as const];
      }),
    );
  }
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const pairs = (stdout ?? '').split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  return new Map(pairs.filter((pair) => pair.length === 2) as [number, number][]);
}
