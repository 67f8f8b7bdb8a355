import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { besideFolder } from '../../src/checkpoint/atomic_folder.ts';
import { createOutputFolder, writeArgsJson } from '../../src/report/output_folder.ts';
import { temporaryFolder } from '../helpers/folder.ts';

// a disk that takes no file
const broken = vi.hoisted(() => ({ code: null as string | null }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const writeFileSync: typeof fs.writeFileSync = (...args) => {
    if (broken.code !== null) throw Object.assign(new Error(broken.code), { code: broken.code, syscall: 'open' });
    fs.writeFileSync(...args);
  };
  return { ...fs, writeFileSync };
});

const root = temporaryFolder();
const now = new Date(2026, 0, 2, 3, 4, 5);

test('folders are numbered one above the highest, with the local time', () => {
  const parent = join(root, 'numbered 数');
  expect(createOutputFolder(parent, true, now).path).toBe(join(parent, 'v0-20260102-030405'));
  mkdirSync(join(parent, 'v11-old'));
  mkdirSync(join(parent, 'other'));
  expect(createOutputFolder(parent, true, now).path).toBe(join(parent, 'v12-20260102-030405'));
});

test('two runs in the same second get two folders, also when the name is taken in between', () => {
  const parent = join(root, 'twice');
  mkdirSync(parent);
  writeFileSync(join(parent, 'x'), '');
  const paths = [createOutputFolder(parent, true, now).path, createOutputFolder(parent, true, now).path];
  expect(new Set(paths).size).toBe(2);
});

test('without a version the folder is the one that was named', () => {
  const parent = join(root, 'plain');
  mkdirSync(parent);
  writeFileSync(join(parent, 'mine.txt'), '');
  const { path, discard } = createOutputFolder(parent, false, now);
  expect(path).toBe(parent);
  discard();
  expect(readdirSync(parent)).toEqual(['mine.txt']);
});

describe('a folder without a version', () => {
  const taken = (where: string) => expect.objectContaining({ code: 'E_OUTPUT_EXISTS', exitCode: 2, where });
  const where = (parent: string) => taken(`--output_dir ${parent}, with --add_version false`);

  test.each(['args.json', 'logging.jsonl', 'completions.jsonl', 'checkpoint-12'])(
    'that holds %s is refused',
    (name) => {
      const parent = join(root, `holds ${name}`);
      mkdirSync(parent);
      writeFileSync(join(parent, name), 'kept');
      expect(() => createOutputFolder(parent, false)).toThrow(where(parent));
      expect(() => createOutputFolder(parent, false)).toThrow(`the folder holds another run: ${name}`);
      expect(readdirSync(parent)).toEqual([name]);
      expect(readFileSync(join(parent, name), 'utf8')).toBe('kept');
      expect(createOutputFolder(parent, true).path).toContain(join(parent, 'v0-'));
    },
  );

  test('goes to one of two runs that start at once, and to the next when that has ended before it began', () => {
    const parent = join(root, 'at once');
    const first = createOutputFolder(parent, false);
    expect(() => createOutputFolder(parent, false)).toThrow(where(parent));
    first.discard();
    expect(existsSync(parent)).toBe(false);
    mkdirSync(parent);
    const second = createOutputFolder(parent, false);
    writeArgsJson(parent, 'rlhf', {}, []);
    second.discard();
    expect(readdirSync(parent)).toEqual(['args.json']);
    second.remove();
    expect(readdirSync(parent)).toEqual([]);
  });

  test('is free again when a run was killed before it began', () => {
    const parent = join(root, 'killed');
    createOutputFolder(parent, false);
    const args = join(parent, 'args.json');
    const alive = readFileSync(args, 'utf8');
    const dead = alive.replace(String(process.pid), '4194999'); // above the largest process id Linux gives
    expect(dead).not.toBe(alive);
    writeFileSync(args, dead.replace('"host":"', '"host":"other '));
    expect(() => createOutputFolder(parent, false)).toThrow(where(parent));
    writeFileSync(args, dead);
    expect(createOutputFolder(parent, false).path).toBe(parent);
    expect(readFileSync(args, 'utf8')).toBe(alive);
  });
});

test('a folder that takes no file is found out before anything is learned', () => {
  const parent = join(root, 'unwritable');
  mkdirSync(parent);
  broken.code = 'EROFS';
  try {
    const refusal = { code: 'E_OUTPUT', exitCode: 2, hint: expect.stringContaining('read-only') };
    expect(() => createOutputFolder(parent, false)).toThrow(expect.objectContaining(refusal));
    expect(() => createOutputFolder(parent, true)).toThrow(expect.objectContaining(refusal));
  } finally {
    broken.code = null;
  }
  expect(readdirSync(parent)).toEqual([]);
});

test('discard removes what was made as far as it is empty', () => {
  const parent = join(root, 'deep', 'er');
  createOutputFolder(parent, true, now).discard();
  expect(existsSync(join(root, 'deep'))).toBe(false);

  const kept = createOutputFolder(parent, true, now);
  writeFileSync(join(kept.path, 'logging.jsonl'), '');
  kept.discard();
  expect(readdirSync(kept.path)).toEqual(['logging.jsonl']);
});

test('a new run removes the half checkpoints of killed ones, in its own and in sibling folders', () => {
  const parent = join(root, 'killed amid a save');
  const sibling = createOutputFolder(parent, true, now).path;
  mkdirSync(join(parent, 'mine'));
  const half = (folder: string): string => {
    const path = besideFolder(join(folder, 'checkpoint-2'), '11223344').replace(`-${process.pid}-`, '-4194999-');
    mkdirSync(path);
    return path;
  };
  const swept = [half(parent), half(sibling)];
  const kept = half(join(parent, 'mine'));
  createOutputFolder(parent, true, now);
  expect(swept.filter((path) => existsSync(path))).toEqual([]);
  expect(existsSync(kept)).toBe(true);
});

test('a folder that cannot be made is told with its flag', () => {
  const file = join(root, 'file');
  writeFileSync(file, '');
  expect(() => createOutputFolder(join(file, 'x'), true, now)).toThrow(
    expect.objectContaining({ code: 'E_OUTPUT', where: `--output_dir ${join(file, 'x')}`, exitCode: 2 }),
  );
});

test.runIf(existsSync('/proc/version'))('where no folder can be made, it is told as well', () => {
  expect(() => createOutputFolder('/proc/sightline/runs', true, now)).toThrow(
    expect.objectContaining({ code: 'E_OUTPUT', exitCode: 2, hint: expect.stringContaining('folder') }),
  );
});

test('args.json has the arguments by flag name, and where they come from', () => {
  const plugin = join(root, 'plugin.ts');
  writeFileSync(plugin, 'export {};\n');
  writeArgsJson(root, 'rlhf', { num_generations: 8, system: null }, [plugin]);
  const read = JSON.parse(readFileSync(join(root, 'args.json'), 'utf8'));
  expect(read).toMatchObject({ num_generations: 8, system: null });
  expect(read._sightline).toMatchObject({
    command: 'rlhf',
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    output_dir: root,
    plugins: { [plugin]: createHash('sha256').update('export {};\n').digest('hex') },
  });
});
