import { expect, test } from 'vitest';
import { machineMemory } from '../../src/util/machine_memory.ts';

const GiB = 2 ** 30;
const meminfo = `MemTotal:       ${16 * 2 ** 20} kB
MemFree:         ${2 * 2 ** 20} kB
MemAvailable:   ${10 * 2 ** 20} kB
SwapTotal:      ${4 * 2 ** 20} kB
CommitLimit:    ${12 * 2 ** 20} kB
`;

function withFiles(files: Record<string, string>) {
  const all: Record<string, string> = { '/proc/meminfo': meminfo, ...files };
  return machineMemory((path) => all[path] ?? null, 1);
}

test('a machine without limits: memory and swap', () => {
  expect(withFiles({})).toEqual({ most: 20 * GiB, limit: 'the memory of this machine', free: 10 * GiB });
});

test('another system: its total', () => {
  expect(machineMemory(() => null, 8 * GiB)).toEqual({
    most: 8 * GiB,
    limit: 'the memory of this machine',
    free: 8 * GiB,
  });
});

test('control groups, version 2: the narrowest on the way up', () => {
  const found = withFiles({
    '/proc/self/cgroup': '0::/slice/job\n',
    '/sys/fs/cgroup/slice/job/memory.max': 'max\n',
    '/sys/fs/cgroup/slice/memory.max': `${6 * GiB}\n`,
    '/sys/fs/cgroup/slice/memory.swap.max': '0\n',
    '/sys/fs/cgroup/slice/memory.current': `${3 * GiB}\n`,
    '/sys/fs/cgroup/slice/memory.stat': `anon 1\ninactive_file ${1 * GiB}\n`,
  });
  expect(found).toEqual({
    most: 6 * GiB,
    limit: 'the limit of its control group (/sys/fs/cgroup/slice)',
    free: 4 * GiB,
  });
});

test('version 2 in a container, which is its own root, with swap of the machine', () => {
  const found = withFiles({
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup/memory.max': `${5 * GiB}\n`,
    '/sys/fs/cgroup/memory.swap.max': 'max\n',
  });
  expect(found).toEqual({ most: 9 * GiB, limit: 'the limit of its control group (/sys/fs/cgroup)', free: 5 * GiB });
});

test('control groups, version 1, of which the largest number means none', () => {
  const files = {
    '/proc/self/cgroup': '5:cpu,cpuacct:/job\n4:memory:/host/path/job\n0::/\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${3 * GiB}\n`,
    '/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes': `${3 * GiB}\n`,
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${1 * GiB}\n`,
  };
  expect(withFiles(files)).toEqual({
    most: 3 * GiB,
    limit: 'the limit of its control group (/sys/fs/cgroup/memory)',
    free: 2 * GiB,
  });
  expect(withFiles({ ...files, '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n' }).most).toBe(
    20 * GiB,
  );
});

test('an address space with an end, and a machine that does not overcommit', () => {
  const limits = `Limit  Soft Limit  Hard Limit  Units\nMax address space         ${4 * GiB}           unlimited            bytes\n`;
  const found = withFiles({
    '/proc/self/limits': limits,
    '/proc/self/status': `Name:\tnode\nVmSize:\t  ${2 ** 20} kB\n`,
  });
  expect(found).toMatchObject({ most: 3 * GiB, limit: 'the limit of its address space (ulimit -v)', free: 3 * GiB });
  expect(withFiles({ '/proc/sys/vm/overcommit_memory': '2\n' }).most).toBe(12 * GiB);
});

test('this machine has some', () => {
  const { most, free } = machineMemory();
  expect(free).toBeGreaterThan(0);
  expect(most).toBeGreaterThanOrEqual(free);
});
