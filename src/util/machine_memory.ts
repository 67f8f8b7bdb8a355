/**
 * How much memory this process may use, given the machine, its control groups (v1 and v2) and its own limits.
 * Reads the files of Linux; on other systems it knows only the total. Does not know what the memory is for.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';

export interface MachineMemory {
  /** Upper bound in bytes, swap space included. */
  readonly most: number;
  /** What sets that bound, in words. */
  readonly limit: string;
  /** Bytes that are unused now; file caches count as unused. */
  readonly free: number;
}

/** Reads a file as text; null if it cannot be read. */
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
  /** Limit of memory and swap together; null if swap has no limit or the limit is not known. */
  readonly withSwap: number | null;
  readonly used: number;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // not Linux, or no permission
  }
}

/** Sizes in bytes by name, from text in the form of /proc/meminfo. */
function meminfo(text: string): Map<string, number> {
  return new Map([...text.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name, kib]) => [name!, 1024 * Number(kib)]));
}

/** Limits of the control groups that the process belongs to, and of their ancestors. */
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

/** Without a limit, v1 writes the largest multiple of the page size; anything from here on means unlimited. */
const UNLIMITED = 2 ** 60;

const isLimit = (limit: GroupLimit | null): limit is GroupLimit => limit !== null;

/** The folders of a group and its ancestors, root last: a container may see its own group as the root. */
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

/** Bytes of file cache that the group would give back under pressure. */
function cached(read: ReadText, folder: string, name: string): number {
  const line = new RegExp(`^${name} (\\d+)$`, 'm').exec(read(join(folder, 'memory.stat')) ?? '');
  return Number(line?.[1] ?? 0);
}

/** A number of bytes; null if the file is absent or sets no limit. */
function bytesIn(text: string | null): number | null {
  const bytes = Number(text?.trim() || Number.NaN);
  return Number.isNaN(bytes) || bytes >= UNLIMITED ? null : bytes;
}

/** The remaining address space (ulimit -v), and the commit limit of a system that does not overcommit. */
function processLimits(read: ReadText, info: ReadonlyMap<string, number>): { most: number; limit: string }[] {
  const limits: { most: number; limit: string }[] = [];
  const space = bytesIn(/^Max address space +(\d+)/m.exec(read('/proc/self/limits') ?? '')?.[1] ?? null);
  const taken = meminfo(read('/proc/self/status')?.replaceAll('\t', ' ') ?? '').get('VmSize') ?? 0;
  if (space !== null)
    limits.push({ most: Math.max(0, space - taken), limit: 'the limit of its address space (ulimit -v)' });
  const promised = info.get('CommitLimit');
  if (read('/proc/sys/vm/overcommit_memory')?.trim() === '2' && promised !== undefined)
    limits.push({ most: promised, limit: 'the commit limit of this machine (vm.overcommit_memory is 2)' });
  return limits;
}
