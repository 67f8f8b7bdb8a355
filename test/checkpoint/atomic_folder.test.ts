import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { besideFolder, sweepLeftovers, writeFolderAtomically } from '../../src/checkpoint/atomic_folder.ts';
import { refusal, scratch, shown } from './scratch.ts';

const put = (text: string) => (folder: string) => writeFile(join(folder, 'a'), text);

test('the folder is there when all of it is, with nothing beside it', async () => {
  const dir = scratch();
  const target = join(dir, 'deep', 'out');
  await writeFolderAtomically(target, async (folder) => {
    expect(readdirSync(join(dir, 'deep')).every((name) => name.startsWith('.out.partial-'))).toBe(true);
    await put('1')(folder);
    mkdirSync(join(folder, 'sub'));
    await put('2')(join(folder, 'sub'));
  });
  expect(readdirSync(join(dir, 'deep'))).toEqual(['out']);
  expect(readFileSync(join(target, 'sub', 'a'), 'utf8')).toBe('2');
});

test('a failure leaves nothing, and an older folder as it was', async () => {
  const dir = scratch();
  const target = join(dir, 'out');
  const failing = async (folder: string): Promise<void> => {
    await put('new')(folder);
    throw new Error('half way');
  };
  await expect(writeFolderAtomically(target, failing)).rejects.toThrow('half way');
  expect(readdirSync(dir)).toEqual([]);
  await writeFolderAtomically(target, put('old'));
  await expect(writeFolderAtomically(target, failing, { overwrite: true })).rejects.toThrow('half way');
  expect(readdirSync(dir)).toEqual(['out']);
  expect(readFileSync(join(target, 'a'), 'utf8')).toBe('old');
});

test('an existing folder is replaced only when asked', async () => {
  const dir = scratch();
  const target = join(dir, 'out');
  await writeFolderAtomically(target, put('old'));
  expect(shown(await refusal(() => writeFolderAtomically(target, put('new'))))).toMatch(/E_OUTPUT_EXISTS/);
  const late = writeFolderAtomically(join(dir, 'late'), async (folder) => {
    mkdirSync(join(dir, 'late'));
    await put('new')(folder);
  });
  expect((await refusal(() => late)).code).toBe('E_OUTPUT_EXISTS');
  await writeFolderAtomically(target, put('new'), { overwrite: true });
  expect(readFileSync(join(target, 'a'), 'utf8')).toBe('new');
  expect(readdirSync(dir).sort()).toEqual(['late', 'out']);
});

test('leftovers of a dead process go, those of a living one stay', async () => {
  const dir = scratch();
  const dead = '.out.partial-4194999-aa'; // above the largest process id Linux gives
  const alive = `.out.partial-${process.pid}-bb`;
  const other = '.other.partial-4194999-aa';
  for (const name of [dead, alive, other]) mkdirSync(join(dir, name));
  writeFileSync(join(dir, dead, 'a'), '');
  await writeFolderAtomically(join(dir, 'out'), put('1'));
  expect(readdirSync(dir).sort()).toEqual([other, alive, 'out'].sort());
});

test('a sweep takes what killed processes of this machine left, and only that', () => {
  const dir = scratch();
  const name = (of: string, tag: string) => basename(besideFolder(join(dir, of), tag));
  const dead = (text: string) => text.replace(`-${process.pid}-`, '-4194999-');
  const gone = [dead(name('a', '11223344')), dead(name('a', 'removed')), dead(name('b', '11223344-replaced'))];
  const kept = [
    'b',
    name('a', '11223344'),
    dead(name('a', '11223344-replaced')), // there is no other `a`
    dead(name('a', '11223344')).replace(/-[0-9a-f]{8}-/, '-00000000-'),
    '.a.partial-4194999',
    'a.partial-4194999-00000000-11223344',
  ];
  for (const folder of [...gone, ...kept]) mkdirSync(join(dir, folder));
  writeFileSync(join(dir, gone[0]!, 'a'), '');
  sweepLeftovers(dir);
  expect(readdirSync(dir).sort()).toEqual(kept.sort());
});

test('errors of the disk are told with the path and a way out', async () => {
  const dir = scratch();
  writeFileSync(join(dir, 'file'), '');
  const below = await refusal(() => writeFolderAtomically(join(dir, 'file', 'out'), put('1')));
  expect(shown(below)).toMatch(/E_SAVE_FAILED.*part of the path is a file/);
  const full = await refusal(() =>
    writeFolderAtomically(join(dir, 'out'), () => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    }),
  );
  expect(full.where).toBe(join(dir, 'out'));
  expect(full.exitCode).toBe(1);
  expect(shown(full)).toMatch(/no space left.*free space/);
  expect(readdirSync(dir)).toEqual(['file']);
});
