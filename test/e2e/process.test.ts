/**
 * Runs of the real program as a process: stopped by signals, read by nobody, started by the script, asked for help.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { exitOf, runCli, startCli, written } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { installPackage } from '../helpers/package.ts';
import {
  type FlagValues,
  readRun,
  readWeights,
  runFolder,
  type TinyProject,
  tinyFlags,
  tinyProject,
} from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
let program: string;
beforeAll(async () => {
  project = await tinyProject(root);
  program = installPackage(join(root, 'package'));
  // Tells when a step is under way, and takes its time there.
  writeFileSync(
    join(root, 'slow.ts'),
    `import { orms } from 'sightline';
class Slow {
  async call(completions, { trainer_state, logger }) {
    const { global_step } = trainer_state;
    logger.info('amid step ' + (global_step + 1));
    await new Promise((resolve) => {
      if (global_step < 2) resolve();
      else if (process.env.SLOW_MS !== 'never') setTimeout(resolve, Number(process.env.SLOW_MS));
    });
    return completions.map((text) => text.length);
  }
}
orms['slow'] = Slow;
`,
  );
});

let runs = 0;
function start(changes: FlagValues = {}, env: Record<string, string> = {}) {
  const output = join(root, 'runs', `${runs++}`);
  return { ...startCli(program, ['rlhf', ...tinyFlags(project, { ...changes, output_dir: output })], { env }), output };
}

const slow = (): FlagValues => ({ external_plugins: join(root, 'slow.ts'), reward_funcs: 'slow', max_steps: '1000' });

describe('signals', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s amid a step drops it, saves the steps before it, exits with %d', async (signal, code) => {
    const { child, text, output } = start(slow(), { SLOW_MS: '300' });
    await written(child, text, /amid step 3/);
    child.kill(signal);
    expect(await exitOf(child)).toBe(code);
    const folder = runFolder(output);
    expect(readdirSync(folder).sort()).toEqual([
      'args.json',
      'attention',
      'checkpoint-2',
      'completions.jsonl',
      'logging.jsonl',
      'runs',
    ]);
    expect(readWeights(join(folder, 'checkpoint-2')).size).toBeGreaterThan(20);
    const { logs, last } = readRun(folder);
    expect(logs).toHaveLength(2);
    expect(last).toMatchObject({
      status: 'interrupted',
      global_step: 2,
      last_model_checkpoint: join(folder, 'checkpoint-2'),
    });
    expect(text.stdout).toContain('stopped: 2 of 1000 steps');
    expect(text.stderr).toBe(`\n${signal}: stopping cleanly; a second signal quits at once\n`);
  });

  test('amid sampling, which is long, the process does not wait for its end', async () => {
    const { child, text, output } = start({ max_completion_length: '400', max_steps: '1000', logging_steps: '1' });
    await written(child, text, /step 1\/1000/);
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(130);
    const { last } = readRun(runFolder(output));
    expect(last.status).toBe('interrupted');
    expect(last.global_step).toBeGreaterThanOrEqual(1);
    expect(existsSync(String(last.last_model_checkpoint))).toBe(true);
  });

  test.each([
    ['with a timer', '1000000'],
    ['with nothing that keeps the process', 'never'],
  ])('amid a reward that never ends, %s, one is enough', async (_, SLOW_MS) => {
    const { child, text, output } = start(slow(), { SLOW_MS });
    await written(child, text, /amid step 3/);
    await sleep(200);
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(130);
    expect(text.stdout).toContain('stopped: 2 of 1000 steps');
    const { last } = readRun(runFolder(output));
    expect(existsSync(String(last.last_model_checkpoint))).toBe(true);
  });

  test('amid a plugin that never loads, one is enough, and nothing is left behind', async () => {
    writeFileSync(join(root, 'hangs.ts'), "console.log('hanging');\nawait new Promise(() => undefined);\n");
    const { child, text, output } = start({ external_plugins: join(root, 'hangs.ts'), reward_funcs: 'format' });
    await written(child, text, /hanging/);
    await sleep(200);
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(130);
    expect(existsSync(output)).toBe(false);
  });
});

describe('a plugin that fails outside of its reward call', () => {
  const plugin = (body: string): FlagValues => {
    const path = join(root, `stray${runs}.ts`);
    writeFileSync(
      path,
      `import { orms } from 'sightline';
class Stray {
  async call(completions, { trainer_state }) {
    if (trainer_state.global_step === 2) ${body};
    return completions.map((text) => text.length);
  }
}
orms['stray'] = Stray;
`,
    );
    return { external_plugins: path, reward_funcs: 'stray', max_steps: '1000', save_steps: '1000' };
  };

  test.each([
    ['a rejection', "void Promise.reject(new Error('left alone'))"],
    [
      'a callback amid a call that does not end',
      "await new Promise(() => setTimeout(() => { throw new Error('left alone') }))",
    ],
  ])('%s: the steps before it are saved, exit code 1', async (_, body) => {
    const { child, text, output } = start(plugin(body));
    expect(await exitOf(child)).toBe(1);
    expect(text.stderr).toMatch(
      /^error: an error was thrown outside of any reward call: left alone\n {2}at: .*stray\d+\.ts:4:\d+\n {2}fix: .*\n$/,
    );
    const { last } = readRun(runFolder(output));
    expect(last).toMatchObject({ status: 'interrupted' });
    expect(existsSync(String(last.last_model_checkpoint))).toBe(true);
  });

  test('process.exit(0) is told, and is no success', async () => {
    const { child, text } = start(plugin('process.exit(0)'));
    expect(await exitOf(child)).toBe(1);
    expect(text.stderr).toContain('error: the process exited before the run had ended');
  });
});

describe('output', () => {
  test('a reader that goes away ends the run as elsewhere: 141, nothing said, the steps done are saved', async () => {
    const { child, text, output } = start({ max_steps: '1000' });
    await written(child, text, /step 1\/1000/);
    child.stdout.destroy();
    expect(await exitOf(child)).toBe(141);
    expect(text.stderr).toBe('');
    const { last } = readRun(runFolder(output));
    expect(last.status).toBe('interrupted');
    expect(existsSync(String(last.last_model_checkpoint))).toBe(true);
  });

  test('off a terminal there are no control codes, and one line per log', async () => {
    const { child, text } = start({ log_completions: 'false' });
    expect(await exitOf(child)).toBe(0);
    expect(text.stderr).toBe('');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(text.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
    expect(text.stdout.match(/^step \d\/2 \| .+$/gm)).toHaveLength(2);
  });
});

test('the script trains, says what the first sample looked like once, and ends with a summary', async () => {
  const cwd = join(root, 'elsewhere');
  mkdirSync(cwd);
  const script = join(root, 'package', 'examples', 'train', 'grpo', 'run_grpo_with_ddapo.sh');
  const flags = ['--max_steps', '2', '--num_generations', '4', '--per_device_train_batch_size', '8'];
  const child = spawn('bash', [script, ...flags], {
    cwd,
    env: { PATH: process.env.PATH, MODEL: project.model, DATASET: project.pictures, OUTPUT_DIR: 'out' },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  expect(await exitOf(child), text).toBe(0);
  const { logs, folder } = readRun(runFolder(join(cwd, 'out')));
  for (const log of logs) {
    expect(log['rewards/DDAPOAttentionORM/mean']).toBeLessThan(0);
    expect(log['rewards/MultiModalAccuracyORM/mean']).toBeDefined();
    expect(log['rewards/Format/mean']).toBeDefined();
  }
  expect(text.match(/^\[DDAPO_DEBUG\] model kwargs/gm)).toHaveLength(1);
  expect(text).toContain('[DDAPO_DEBUG] config: _attn_implementation=eager');
  expect(text).toContain('done: 2 of 2 steps');
  const args = JSON.parse(readFileSync(join(folder, 'args.json'), 'utf8'));
  expect(args).toMatchObject({ reward_weights: [1, 4, 1], epsilon: 0.2, epsilon_high: 0.28, beta: 0, temperature: 1 });
  expect(Object.values(args._sightline.plugins)).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
});

describe('help', () => {
  test.each(['rlhf', 'sft', 'infer', 'score', 'demo'])('%s', async (command) => {
    const { code, stdout, stderr } = await runCli(program, [command, '--help']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(command);
    expect(stdout.split('\n').length).toBeGreaterThan(5);
  });

  test('of the program lists the commands; no command at all is bad usage', async () => {
    const help = await runCli(program, ['--help']);
    expect(help.code).toBe(0);
    for (const command of ['rlhf', 'sft', 'infer', 'score', 'demo']) expect(help.stdout).toContain(`  ${command} `);
    expect((await runCli(program, [])).code).toBe(2);
    expect((await runCli(program, ['rlfh'])).stderr).toContain('rlhf');
    expect((await runCli(program, ['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('infer', () => {
  const ask = (words: readonly string[], input?: string) =>
    runCli(program, ['infer', '--model', project.model, '--max_new_tokens', '6', ...words], { input });

  test('one question: the answer on standard output and nothing else; the same one again', async () => {
    const words = ['--image', join(root, '0.png'), '--prompt', 'which colour?', '--temperature', '0'];
    const first = await ask(words);
    expect([first.code, first.stderr]).toEqual([0, '']);
    expect(first.stdout).toMatch(/^[^\n].*\n$/s);
    expect((await ask(words)).stdout).toBe(first.stdout);
  });

  test('a conversation: an image, two questions, a mistake in between', async () => {
    const lines = [
      `/image ${join(root, '0.png')}`,
      'which?',
      '/image nowhere.png',
      'and this?',
      'and without it?',
      '/clear',
      'hello',
      '/exit',
      'never',
    ];
    const { code, stdout, stderr } = await ask(['--temperature', '0'], `${lines.join('\n')}\n`);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^error: image not found: .*nowhere\.png\n {2}at: .*\n {2}fix: .*\n$/);
    expect(stdout.endsWith('\n')).toBe(true);
    const alone = await ask(['--temperature', '0', '--prompt', 'hello']);
    expect(stdout.endsWith(alone.stdout), 'after /clear the conversation starts anew').toBe(true);
  });

  test.each([
    [['--image', 'nowhere.png', '--prompt', 'which?'], 'nowhere.png'],
    [['--image', 'nowhere.png'], 'nowhere.png'],
    [['--prompt', 'which?', '--temperature', '-1'], '--temperature'],
  ])('bad input: %j', async (words, message) => {
    const { code, stdout, stderr } = await ask(words);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^error: .+\n( {2}(at: |✖ ).+\n)+ {2}fix: .+\n$/);
    expect(stderr).toContain(message);
  });
});
