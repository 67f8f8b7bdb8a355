import { describe, expect, test } from 'vitest';
import { type CliCommand, commands } from '../../src/cli/commands.ts';
import { runCommandLine } from '../../src/cli/program.ts';
import { SightlineError } from '../../src/errors.ts';
import { pretendIo } from './io.ts';

async function run(words: string[], list: readonly CliCommand[] = commands, signal?: AbortSignal) {
  const { io, text } = pretendIo({ signal });
  const code = await runCommandLine(words, list, io);
  return { code, ...text };
}

function failing(error: unknown): CliCommand[] {
  return [{ name: 'fail', summary: 'fails', run: () => Promise.reject(error) }];
}

describe('the list of commands', () => {
  test('--help names every command', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    for (const { name } of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  });
  test('--version', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });
  test('no command: help and exit code 2', async () => {
    expect(await run([])).toMatchObject({ code: 2, stderr: expect.stringContaining('Commands:') });
  });
  test.each([
    ['trian', ' (Did you mean rlhf or sft?)'],
    ['grop', ' (Did you mean rlhf?)'],
    ['dmeo', ' (Did you mean demo?)'],
    ['something', ''],
  ])('%s is unknown%s', async (name, question) => {
    const stderr = `error: unknown command '${name}'${question}\n  fix: sightline --help lists the commands\n`;
    expect(await run([name])).toEqual({ code: 2, stdout: '', stderr });
    expect(await run(['help', name])).toEqual({ code: 2, stdout: '', stderr });
  });
  test('help alone is --help', async () => {
    expect(await run(['help'])).toEqual(await run(['--help']));
  });
  test.each([
    [['demo'], 'Usage: sightline demo [options] [command]', /^ {2}data .*draw pictures/m],
    [['demo', 'data'], 'Usage: sightline demo data [options]', /--output_dir <DIR>/],
  ])('help %j has what --help has', async (words, usage, part) => {
    const help = await run(['help', ...words]);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain(usage);
    expect(help.stdout).toMatch(part);
    expect(await run([...words, '--help'])).toEqual(help);
    expect(await run([...words, '-h'])).toEqual(help);
  });
  test('an unknown command is told with the nearest one', async () => {
    expect(await run(['rlfh', '--model', 'x'])).toEqual({
      code: 2,
      stdout: '',
      stderr: "error: unknown command 'rlfh' (Did you mean rlhf?)\n  fix: sightline --help lists the commands\n",
    });
  });
});

test.each(commands.filter(({ help }) => help !== undefined))(
  '$name --help, wherever it stands',
  async ({ name, help }) => {
    const expected = { code: 0, stdout: await help!([], pretendIo().io), stderr: '' };
    expect(await run([name, '--help'])).toEqual(expected);
    expect(await run([name, '--model', 'x', '-h'])).toEqual(expected);
    expect(await run(['help', name])).toEqual(expected);
  },
);

test('words go to the command as they are, in order', async () => {
  let got: readonly string[] = [];
  const echo: CliCommand = {
    name: 'echo',
    summary: '',
    run: async (words) => {
      got = words;
    },
  };
  await run(['echo', 'run.json', '--a', '-1', '--version', '--b=c', 'd'], [echo]);
  expect(got).toEqual(['run.json', '--a', '-1', '--version', '--b=c', 'd']);
});

describe('errors', () => {
  const error = new SightlineError('E_X', 'a thing is wrong', { where: 'here', hint: 'mend it' });
  test('a fault of the input: three lines, its exit code, no stack', async () => {
    expect(await run(['fail'], failing(error))).toEqual({
      code: 2,
      stdout: '',
      stderr: 'error: a thing is wrong\n  at: here\n  fix: mend it\n',
    });
  });
  test.each([
    [['--debug'], true],
    [['--debug', 'true'], true],
    [['--debug', 'false'], false],
  ])('the stack with %j: %s', async (words, shown) => {
    const { stderr } = await run(['fail', ...words], failing(error));
    expect(stderr.includes('program.test.ts')).toBe(shown);
  });
  test('a bug of ours keeps its stack, exit code 1', async () => {
    const { code, stderr } = await run(['fail'], failing(new Error('internal: oops')));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: internal: oops\n[\s\S]*program\.test\.ts/);
  });
  test.each([
    ['V8', new RangeError('Array buffer allocation failed')],
    [
      'a decoder',
      new RangeError('WebAssembly.Instance(): Out of memory: Cannot allocate Wasm memory for new instance'),
    ],
    ['ONNX Runtime', new Error('Non-zero status code: std::bad_alloc')],
  ])('memory that %s does not get is no bug', async (_, error) => {
    const { code, stderr } = await run(['fail'], failing(error));
    expect(code).toBe(1);
    expect(stderr).toContain(`error: memory has run out: ${error.message}\n  fix: lower --per_device_train_batch_size`);
    expect(stderr).not.toContain('    at ');
  });

  test('an abort that was asked for is no error to tell', async () => {
    const reason = new DOMException('stopped', 'AbortError');
    expect(await run(['fail'], failing(reason), AbortSignal.abort(reason))).toMatchObject({ stderr: '' });
    expect((await run(['fail'], failing(reason))).stderr).toContain('stopped');
  });
});
