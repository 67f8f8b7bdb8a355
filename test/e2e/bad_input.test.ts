/**
 * Bad input through the real program: one clear message of what, where and what to do; exit code 2, no stack, nothing
 * half-written.
 */
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { installPackage } from '../helpers/package.ts';
import { type FlagValues, pictureRow, type TinyProject, tinyFlags, tinyProject, writeRows } from '../helpers/tiny.ts';

const root = temporaryFolder();
let project: TinyProject;
let program: string;
beforeAll(async () => {
  project = await tinyProject(root);
  program = installPackage(join(root, 'package'));
});

let cases = 0;
/** Runs `sightline rlhf`, checks what every refusal has in common, returns what it said. */
async function refusal(changes: FlagValues, ...words: string[]): Promise<string> {
  const output = join(root, `refused_${cases++}`);
  const flags = tinyFlags(project, changes);
  const { code, stdout, stderr } = await runCli(program, ['rlhf', ...flags, '--output_dir', output, ...words], {
    cwd: root,
  });
  expect(stderr).toMatch(/^error: .+\n( {2}(at: |✖ ).+\n)+ {2}fix: .+\n$/);
  expect(code).toBe(2);
  expect(stdout + stderr).not.toMatch(/^\s+at .*[(/].*:\d+|internal:|node:internal/m);
  expect(existsSync(output), 'the output folder').toBe(false);
  return stderr;
}

function copyOfModel(name: string): string {
  const model = join(root, name);
  cpSync(project.model, model, { recursive: true });
  return model;
}

function edit(path: string, change: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8'));
  change(json);
  writeFileSync(path, JSON.stringify(json));
}

function dataset(name: string, rows: readonly unknown[]): string {
  const path = join(root, `${name}.jsonl`);
  writeRows(path, rows);
  return path;
}

let plugins = 0;
/** A plugin whose reward `faulty` has the given body. */
function plugin(body: string, head = ''): string {
  const path = join(root, `plugin${plugins++}.ts`);
  writeFileSync(
    path,
    `import { orms } from 'sightline';\n${head}class Faulty {\n  ${body}\n}\norms['faulty'] = Faulty;\n`,
  );
  return path;
}

const good = (index: number): unknown => pictureRow(`${index}.png`, 'which colour?');

describe.concurrent('flags', () => {
  test('unknown, with the nearest name', async () => {
    expect(await refusal({}, '--learning_rat', '1')).toContain('did you mean --learning_rate?');
  });
  test('of ms-swift, with what to use instead', async () => {
    const text = await refusal({}, '--deepspeed', 'zero3', '--use_vllm', 'true');
    expect(text).toContain('--deepspeed');
    expect(text).toContain('--use_vllm');
  });
  test('of the wrong kind', async () => {
    expect(await refusal({ learning_rate: 'fast' })).toContain('fast');
  });
  test('that do not fit each other', async () => {
    expect(await refusal({ num_generations: '3' })).toContain('8 completions');
    expect(await refusal({ reward_weights: ['1', '2', '3'] })).toContain('3 weights for 2 rewards');
  });
});

describe.concurrent('checkpoint', () => {
  test('folder missing', async () => {
    expect(await refusal({ model: join(root, 'nowhere') })).toContain(join(root, 'nowhere'));
  });
  test('shard missing', async () => {
    const model = copyOfModel('shard_missing');
    writeFileSync(
      join(model, 'model.safetensors.index.json'),
      JSON.stringify({ metadata: {}, weight_map: { 'model.norm.weight': 'model-00001-of-00001.safetensors' } }),
    );
    rmSync(join(model, 'model.safetensors'));
    expect(await refusal({ model })).toContain('model-00001-of-00001.safetensors');
  });
  test('shard truncated', async () => {
    const model = copyOfModel('shard_truncated');
    truncateSync(join(model, 'model.safetensors'), 100_000);
    expect(await refusal({ model })).toContain('model.safetensors');
  });
  test('tensor of another shape', async () => {
    const model = copyOfModel('other_shape');
    edit(join(model, 'config.json'), (config) => {
      config.intermediate_size = 64;
    });
    const text = await refusal({ model });
    expect(text).toContain('model.layers.0.mlp');
    expect(text).toMatch(/48.*64|64.*48/);
  });
  test('tensor missing', async () => {
    const model = copyOfModel('tensor_missing');
    edit(join(model, 'config.json'), (config) => {
      config.num_hidden_layers = 3;
    });
    expect(await refusal({ model })).toContain('model.layers.2.');
  });
  test('another architecture', async () => {
    const model = copyOfModel('architecture');
    edit(join(model, 'config.json'), (config) => {
      config.model_type = 'llama';
      config.architectures = ['LlamaForCausalLM'];
    });
    const text = await refusal({ model });
    expect(text).toContain('llama');
    expect(text).toContain('Qwen2.5-VL');
  });
});

describe.concurrent('dataset', () => {
  test('malformed line, with its number', async () => {
    const path = dataset('malformed', [good(0), good(1)]);
    writeFileSync(path, `${readFileSync(path, 'utf8')}{"messages": [\n`);
    expect(await refusal({ dataset: path })).toContain(`${path}:3`);
  });
  test('image missing', async () => {
    const path = dataset('missing', [good(0), pictureRow('none.png', 'which?')]);
    const text = await refusal({ dataset: path });
    expect(text).toContain('none.png');
    expect(text).toContain(`${path}:2`);
  });
  test('image corrupt', async () => {
    copyFileSync(join(root, '0.png'), join(root, 'corrupt.png'));
    truncateSync(join(root, 'corrupt.png'), 300);
    const path = dataset('corrupt', [pictureRow('corrupt.png', 'which?'), pictureRow('corrupt.png', 'what?')]);
    const text = await refusal({ dataset: path });
    expect(text).toContain('corrupt.png');
    expect(text).toMatch(/corrupt\.jsonl:[12]/);
  });
  test('prompt longer than the limit', async () => {
    const path = dataset('long', [
      pictureRow('0.png', 'long '.repeat(1000)),
      pictureRow('0.png', 'long '.repeat(1000)),
    ]);
    const text = await refusal({ dataset: path });
    expect(text).toContain('the limit is 512');
    expect(text).toMatch(/long\.jsonl:[12]/);
  });
  test('fewer rows than a step takes', async () => {
    expect(await refusal({ dataset: dataset('short', [good(0)]) })).toContain('1 row');
  });
});

describe.concurrent('rewards', () => {
  test('need a column that no row has, in training or evaluation data', async () => {
    const path = dataset('unsolved', [{ ...(good(0) as object), solution: undefined, answer: 'red' }]);
    for (const flag of ['dataset', 'val_dataset']) {
      const text = await refusal({ reward_funcs: ['format', 'external_r1v_acc'], [flag]: path });
      expect(text).toContain('reward "external_r1v_acc" needs the column "solution"');
      expect(text).toContain(`at: --${flag} ${path}\n`);
      expect(text).toContain('its columns are messages, images, answer;');
    }
  });
  const faulty = { reward_funcs: 'faulty' };

  test('not registered, with the nearest name', async () => {
    expect(await refusal({ reward_funcs: 'ddapo_atention' })).toContain('did you mean "ddapo_attention"?');
  });
  test.each([
    ['throws', 'call() { throw new Error("no such column"); }', /"faulty" threw: no such column/],
    ['throws what is no error', 'call() { throw "plain words"; }', /"faulty" threw: plain words/],
    ['throws later', 'async call() { await null; throw new Error("gone"); }', /"faulty" threw: gone/],
    ['returns too few', 'call() { return [1]; }', /1 values? for 8 completions/],
    [
      'returns NaN',
      'call(c) { return c.map((_, i) => i < 5 ? 1 : NaN); }',
      /NaN for sample 5 \(completion 1 of the row .*pictures\.jsonl:\d\)\n {2}at: .*plugin\d+\.ts:3\n/,
    ],
    ['returns strings', 'call(c) { return c.map(() => "1"); }', /the string "1" for sample 0/],
    ['returns too much', 'call(c) { return c.map((_, i) => (-1) ** i * 1e200); }', /1e\+200 for sample 0/],
    ['returns BigInts', 'call(c) { return c.map(() => 1n); }', /the BigInt 1n for sample 0/],
    [
      'logs a string',
      'call(c, k) { k.log_metric("x", "1"); return c.map(() => 1); }',
      /the string "1" as the metric "x"/,
    ],
    [
      'throws a value that cannot be converted to text',
      'call() { throw Object.create(null); }',
      /"faulty" threw: a value that cannot be converted to text/,
    ],
    ['needs what nobody knows', 'static needs = ["attnetion"]; call() {}', /the string "attnetion"/],
    ['returns nothing', 'call() {}', /undefined instead of an array/],
    ['throws when it is made', 'constructor() { throw new Error("no licence"); } call() {}', /no licence/],
    [
      'logs a column of another length',
      'call(c, k) { k.log_extra("x", [1]); return c.map(() => 1); }',
      /log_extra\('x'\)/,
    ],
  ])('%s', async (_, body, message) => {
    const file = plugin(body);
    const text = await refusal({ ...faulty, external_plugins: file });
    expect(text).toMatch(message);
    expect(text).toContain(file);
  });
  test('plugin that does not parse, is missing, or imports what is not there', async () => {
    expect(await refusal({ ...faulty, external_plugins: plugin('call( {') })).toMatch(/plugin\d+\.ts:\d+/);
    expect(await refusal({ ...faulty, external_plugins: join(root, 'no.ts') })).toContain('no.ts');
    expect(await refusal({ ...faulty, external_plugins: plugin('call() {}', "import 'not-installed';\n") })).toContain(
      'not-installed',
    );
  });
});
