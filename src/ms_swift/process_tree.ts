/**
 * A process with all its descendants. A process group is not enough: torchrun starts its workers in sessions of their own.
 * Knows process ids only.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isAlive } from '../util/is_alive.ts';

export interface ProcessTree {
  /** Records new descendants. Call it often: when a parent has ended, its children can no longer be found. */
  look(): void;
  /** Whether any of the processes runs. */
  isAlive(): boolean;
  /** Sends a signal to all running processes of the tree. */
  signal(signal: NodeJS.Signals): void;
}

/** @param root its process id */
export function processTree(root: number): ProcessTree {
  /** Start time by process id, because the system reuses ids. */
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

/** The fields of /proc/PID/stat from the third on: state, parent, …; the name before them may contain blanks. */
function statOf(pid: number): readonly string[] | null {
  try {
    const text = readFileSync(`${PROC}/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null; // the process has ended
  }
}

function startOf(pid: number): string {
  if (!hasProc) return '';
  const stat = statOf(pid);
  return stat === null || stat[0] === 'Z' ? 'ended' : stat[19]!;
}

/** Parent by process id, of all processes. */
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
