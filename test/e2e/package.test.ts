/**
 * The package as somebody else's project has it: packed, unpacked into an empty folder beside its dependencies, a reward
 * written against its types, the demo checkpoint trained with it. Everything but the download.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { readRun, runFolder } from '../helpers/tiny.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const root = temporaryFolder();
const project = join(root, 'project');
const installed = join(project, 'node_modules', 'sightline');
const program = join(project, 'node_modules', '.bin', 'sightline');
const compiler = join(repository, 'node_modules', 'typescript', 'bin', 'tsc');

const run = (file: string, args: readonly string[], cwd: string): string =>
  execFileSync(file, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** The repository's package, with a `dist` of the sources at hand. Returns the path of the archive. */
function pack(): string {
  const stage = join(root, 'stage');
  mkdirSync(stage);
  const { files } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { files: string[] };
  for (const name of ['package.json', ...files.filter((name) => name !== 'dist')]) {
    // A pattern ends in a file's: its folder is copied whole, and npm pack picks.
    const path = name.includes('*') ? dirname(name) : name;
    cpSync(join(repository, path), join(stage, path), { recursive: true });
  }
  const build = ['-p', join(repository, 'tsconfig.build.json'), '--outDir', join(stage, 'dist'), '--noCheck'];
  run(process.execPath, [compiler, ...build], repository);
  const packed = run('npm', ['pack', '--json', '--ignore-scripts', '--offline', '--pack-destination', root], stage);
  return join(root, (JSON.parse(packed) as [{ filename: string }])[0].filename);
}

beforeAll(() => {
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', pack(), '-C', installed, '--strip-components', '1'], root);
  const own = join(repository, 'node_modules');
  // Types of Node.js are left out: a reward needs none.
  const dependencies = readdirSync(own).filter((name) => !name.startsWith('.') && name !== '@types');
  for (const name of dependencies) symlinkSync(join(own, name), join(project, 'node_modules', name));
  mkdirSync(join(program, '..'));
  const { bin } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as { bin: { sightline: string } };
  symlinkSync(join('..', 'sightline', bin.sightline), program);
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }\n');
  writeFileSync(
    join(project, 'mine.ts'),
    `import { type ORM, orms, type RewardArgs, type RewardKwargs } from 'sightline';

class Named implements ORM {
  static readonly columns = ['colour'];
  private readonly seed: number;

  constructor(args: RewardArgs) {
    this.seed = Number(args.seed);
  }

  call(completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const colours = kwargs.colour as (string | undefined)[];
    kwargs.log_metric('mine/seed', this.seed);
    return completions.map((text, i) => Number(text.includes(colours[i] ?? '?')));
  }
}

orms.mine = Named;
`,
  );
});

test.each([
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])('a reward is checked against the types: module %s, moduleResolution %s', (module, moduleResolution) => {
  const wrong = `wrong_${moduleResolution}.ts`; // what is refused in it shows that types are there, not a silent any
  writeFileSync(
    join(project, wrong),
    readFileSync(join(project, 'mine.ts'), 'utf8').replace('(number | null)[]', 'string'),
  );
  const file = join(project, `${moduleResolution}.json`);
  const compilerOptions = { target: 'es2022', module, moduleResolution, strict: true, noEmit: true, types: [] };
  writeFileSync(file, JSON.stringify({ compilerOptions, files: ['mine.ts', wrong] }));
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', file], { cwd: project, encoding: 'utf8' });
  expect(status).not.toBe(0);
  const faults = stdout.split('\n').filter((line) => /^\S/.test(line));
  expect(faults).not.toEqual([]);
  expect(faults.filter((line) => !line.startsWith(`${wrong}(`))).toEqual([]);
  expect(stdout).toContain("is not assignable to type 'RewardValues");
});

test('the demo checkpoint learns from the attention reward, by its name alone, and from a reward of the project', async () => {
  const data = ['demo', 'data', '--output_dir', 'data', '--kind', 'grpo', '--rows', '16'];
  expect(await runCli(program, data, { cwd: project })).toMatchObject({ code: 0, stderr: '' });
  const flags = [
    ...['--model', 'node_modules/sightline/assets/demo/checkpoint', '--dataset', 'data/data.jsonl'],
    ...['--system', 'data/prompt.txt', '--external_plugins', 'mine.ts', '--reward_funcs', 'ddapo_attention', 'format'],
    ...['mine', '--per_device_train_batch_size', '16', '--max_completion_length', '32', '--max_steps', '2'],
    ...['--logging_steps', '1', '--seed', '5', '--output_dir', 'output'],
  ];
  const { code, stdout, stderr } = await runCli(program, ['rlhf', ...flags], { cwd: project });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('[DDAPO_DEBUG] attentions is null: false');
  const { logs, last } = readRun(runFolder(join(project, 'output')));
  expect(last.status).toBe('completed');
  expect(logs).toHaveLength(2);
  for (const log of logs) {
    expect(log['rewards/DDAPOAttentionORM/mean']).toBeCloseTo(-log['attention/tdr_mean']!, 12);
    expect(log['rewards/Named/mean']).toBeGreaterThan(0);
    expect(log['mine/seed']).toBe(5);
  }
});
