/**
 * Where a command's output goes: files whole or not at all, links and devices written through, never replaced.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { writeOutputFile } from '../../src/train/output_file.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

function put(path: string, lines: readonly string[], signal = new AbortController().signal): Promise<void> {
  return writeOutputFile(path, { flag: '--output', signal }, async (write) => {
    for (const line of lines) await write(line);
  });
}

/** A character device of the kernel under a name of our own, so that no test can harm the real one. */
function device(name: string, minor: number): string | null {
  try {
    execFileSync('mknod', [at(name), 'c', '1', String(minor)], { stdio: 'ignore' });
    openSync(at(name), 'r+');
    return at(name);
  } catch {
    return null;
  }
}
const full = device('full', 7);
const nothing = device('null', 3);

describe('a file', () => {
  test('is there when all of it is; a failure leaves what was there', async () => {
    mkdirSync(at('files'));
    const path = at('files/out.jsonl');
    await put(path, ['1\n', '2\n']);
    expect(readFileSync(path, 'utf8')).toBe('1\n2\n');
    const failing = writeOutputFile(path, { flag: '--output', signal: new AbortController().signal }, async (write) => {
      await write('half');
      throw new Error('half way');
    });
    await expect(failing).rejects.toThrow('half way');
    expect(readdirSync(at('files'))).toEqual(['out.jsonl']);
    expect(readFileSync(path, 'utf8')).toBe('1\n2\n');
  });

  test('is written through a link, which stays', async () => {
    writeFileSync(at('behind'), 'old');
    symlinkSync('behind', at('link'));
    symlinkSync('later', at('dangling'));
    await put(at('link'), ['new']);
    await put(at('dangling'), ['made']);
    for (const name of ['link', 'dangling']) expect(lstatSync(at(name)).isSymbolicLink()).toBe(true);
    expect(readFileSync(at('behind'), 'utf8')).toBe('new');
    expect(readFileSync(at('later'), 'utf8')).toBe('made');
  });
});

describe('what is no file', () => {
  test('a folder is refused, and so is a folder that is not there', async () => {
    await expect(put(folder, [])).rejects.toMatchObject({
      code: 'E_OUTPUT',
      exitCode: 2,
      where: `--output ${folder}`,
      hint: 'name a file in it',
    });
    await expect(put(at('nowhere/out'), [])).rejects.toMatchObject({
      code: 'E_OUTPUT',
      hint: 'name a file in an existing, writable folder',
    });
  });

  test.skipIf(nothing === null)('a device is written, not replaced', async () => {
    await put(nothing!, ['1\n']);
    expect(lstatSync(nothing!).isCharacterDevice()).toBe(true);
  });

  test.skipIf(full === null)('a full disk is told with the flag and a way out', async () => {
    await expect(put(full!, ['1\n'])).rejects.toMatchObject({
      code: 'E_OUTPUT',
      exitCode: 2,
      message: expect.stringContaining('ENOSPC'),
      hint: expect.stringContaining('free space'),
      where: `--output ${full}`,
    });
    expect(lstatSync(full!).isCharacterDevice()).toBe(true);
  });

  test('a named pipe gets every line, and waits for its reader without holding the process', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    const lines = Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat(1000)}\n`);
    const writing = put(at('pipe'), lines);
    const reader = spawn('cat', [at('pipe')]);
    let text = '';
    reader.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    await Promise.all([writing, once(reader, 'close')]);
    expect(text).toBe(lines.join(''));
    expect(lstatSync(at('pipe')).isFIFO()).toBe(true);

    const controller = new AbortController();
    const waiting = put(at('pipe'), ['never'], controller.signal);
    setTimeout(() => controller.abort(new Error('stopped')), 20);
    await expect(waiting).rejects.toThrow('stopped');
  });

  test.runIf(process.platform === 'linux')('standard output is, whatever is behind it', async () => {
    const script = `
      import { writeOutputFile } from ${JSON.stringify(fileURLToPath(new URL('../../src/train/output_file.ts', import.meta.url)))};
      const options = { flag: '--output', signal: new AbortController().signal };
      await writeOutputFile(process.argv[2], options, async (write) => { await write('1\\n'); await write('2\\n'); });`;
    writeFileSync(at('program.ts'), script);
    symlinkSync('/dev/stdout', at('stdout'));
    writeFileSync(at('log'), 'earlier\n');
    const run = async (stdout: 'pipe' | number): Promise<string> => {
      const words = ['--import', import.meta.resolve('jiti/register'), at('program.ts'), at('stdout')];
      const child = spawn(process.execPath, words, { stdio: ['ignore', stdout, 'inherit'] });
      let text = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      const [code] = await once(child, 'close');
      expect(code).toBe(0);
      return text;
    };
    expect(await run('pipe')).toBe('1\n2\n');
    await run(openSync(at('log'), 'a'));
    expect(readFileSync(at('log'), 'utf8')).toBe('earlier\n1\n2\n');
    expect(lstatSync(at('stdout')).isSymbolicLink()).toBe(true);
  });
});
