import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createOutputFolder, writeArgsJson } from '../../src/report/output_folder.ts';
import { temporaryFolder } from '../helpers/folder.ts';

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
  expect(createOutputFolder(parent, false, now).path).toBe(parent);
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
