/**
 * How much memory a process may take: of the machine, of its control groups (v1 and v2), and by its own limits.
 * Knows files of Linux, and the total elsewhere; knows nothing of what memory is for.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';

export interface MachineMemory {
  /** Bytes that are there at most, swap space included, and whose limit that is. */
  readonly most: number;
  readonly limit: string;
  /** Bytes that nobody uses now, file caches counted as unused. */
  readonly free: number;
}

/** A file's text, null if there is none. */
export type ReadText = (path: string) => string | null;

export function machineMemory(read: ReadText = readText, total: number = totalmem()): MachineMemory {
  const info = meminfo(read('/proc/meminfo') ?? '');
  const machine = info.get('MemTotal') ?? total;
  const swap = info.get('SwapTotal') ?? 0;
  const groups = controlGroups(read);
  const limits = [
    { most: machine + swap, limit: 'the memory of this machine' },
    ...groups.map(({ memory, withSwap, path }) => ({
      most: withSwap ?? memory + swap,
      limit: `the limit of its control group (${path})`,
    })),
    ...processLimits(read, info),
  ];
  const { most, limit } = limits.reduce((least, next) => (next.most < least.most ? next : least));
  const free = [info.get('MemAvailable') ?? machine, ...groups.map(({ memory, used }) => memory - used)];
  return { most, limit, free: Math.max(0, Math.min(most, ...free)) };
}

// --- internal ---

interface GroupLimit {
  readonly path: string;
  readonly memory: number;
  /** Of memory and swap together; null: swap is not limited, or not known. */
  readonly withSwap: number | null;
  readonly used: number;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // another system, or a file that this process may not read
  }
}

/** Bytes by name. */
function meminfo(text: string): Map<string, number> {
  return new Map([...text.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name, kib]) => [name!, 1024 * Number(kib)]));
}

/** Limits of the groups that the process is in, and of those above. */
function controlGroups(read: ReadText): GroupLimit[] {
  const lines = (read('/proc/self/cgroup') ?? '').split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  return lines.flatMap((line): GroupLimit[] => {
    const [, controllers, path] = line ?? [];
    if (path === undefined) return [];
    if (controllers === '')
      return V2_ROOTS.flatMap((root) => upwards(root, path).map((folder) => v2Limit(read, folder))).filter(isLimit);
    if (!controllers!.split(',').includes('memory')) return [];
    return upwards(V1_ROOT, path)
      .map((folder) => v1Limit(read, folder))
      .filter(isLimit);
  });
}

const V1_ROOT = '/sys/fs/cgroup/memory';
const V2_ROOTS = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'];

/** v1 writes the largest multiple of a page where there is no limit. */
const UNLIMITED = 2 ** 60;

const isLimit = (limit: GroupLimit | null): limit is GroupLimit => limit !== null;

/** A group's folder and those above it, the root's last: a container may see its own group as the root. */
function upwards(root: string, path: string): string[] {
  const folders: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    if (at === '/' || at === '.') return [...folders, root];
    folders.push(join(root, at));
  }
}

function v2Limit(read: ReadText, folder: string): GroupLimit | null {
  const memory = bytesIn(read(join(folder, 'memory.max')));
  if (memory === null) return null;
  const swap = bytesIn(read(join(folder, 'memory.swap.max')));
  const used = (bytesIn(read(join(folder, 'memory.current'))) ?? 0) - cached(read, folder, 'inactive_file');
  return { path: folder, memory, withSwap: swap === null ? null : memory + swap, used };
}

function v1Limit(read: ReadText, folder: string): GroupLimit | null {
  const memory = bytesIn(read(join(folder, 'memory.limit_in_bytes')));
  if (memory === null) return null;
  const withSwap = bytesIn(read(join(folder, 'memory.memsw.limit_in_bytes')));
  const used =
    (bytesIn(read(join(folder, 'memory.usage_in_bytes'))) ?? 0) - cached(read, folder, 'total_inactive_file');
  return { path: folder, memory, withSwap, used };
}

/** Bytes of files that the group's memory holds and would give back. */
function cached(read: ReadText, folder: string, name: string): number {
  const line = new RegExp(`^${name} (\\d+)$`, 'm').exec(read(join(folder, 'memory.stat')) ?? '');
  return Number(line?.[1] ?? 0);
}

/** A number of bytes; null where there is no limit. */
function bytesIn(text: string | null): number | null {
  const bytes = Number(text?.trim() || Number.NaN);
  return Number.isNaN(bytes) || bytes >= UNLIMITED ? null : bytes;
}

/** What is left of the address space (ulimit -v), and of what a system that does not overcommit has promised. */
function processLimits(read: ReadText, info: ReadonlyMap<string, number>): { most: number; limit: string }[] {
  const limits: { most: number; limit: string }[] = [];
  const space = bytesIn(/^Max address space +(\d+)/m.exec(read('/proc/self/limits') ?? '')?.[1] ?? null);
  const taken = meminfo(read('/proc/self/status')?.replaceAll('\t', ' ') ?? '').get('VmSize') ?? 0;
  if (space !== null)
    limits.push({ most: Math.max(0, space - taken), limit: 'the limit of its address space (ulimit -v)' });
  const promised = info.get('CommitLimit');
  if (read('/proc/sys/vm/overcommit_memory')?.trim() === '2' && promised !== undefined)
    limits.push({ most: promised, limit: 'what this machine may promise (vm.overcommit_memory is 2)' });
  return limits;
}
