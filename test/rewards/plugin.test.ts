import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { SightlineError } from '../../src/errors.ts';
import { loadPlugins } from '../../src/rewards/plugin.ts';
import { createRewards, ormFiles, orms } from '../../src/rewards/registry.ts';
import { runRewards } from '../../src/rewards/run.ts';
import { rewardKwargs } from '../helpers/reward_kwargs.ts';

const dir = mkdtempSync(join(tmpdir(), 'sightline plugin ü-'));
afterAll(() => rmSync(dir, { recursive: true }));
const builtIn = Object.keys(orms);
afterEach(() => {
  for (const name of Object.keys(orms)) if (!builtIn.includes(name)) delete orms[name];
});

function plugin(name: string, source: string): string {
  const file = join(dir, name);
  writeFileSync(file, source);
  return file;
}

async function fault(file: string): Promise<SightlineError> {
  const error: unknown = await loadPlugins([file]).catch((thrown: unknown) => thrown);
  if (!(error instanceof SightlineError)) throw new Error(`expected a SightlineError, got ${error}`);
  expect(error.exitCode).toBe(2);
  return error;
}

const source = `
import { orms, type ORM, SightlineError } from 'sightline';
import { readFileSync } from 'node:fs';
enum Value { Right = 3 }
const bonus: number = await Promise.resolve(0.5);
class Longest implements ORM {
  constructor(private readonly args: Record<string, unknown>) {}
  call(completions: readonly string[]) {
    if (completions[0] === 'boom') throw new TypeError('cannot judge');
    if (completions[0] === 'told') throw new SightlineError('E_MINE', 'my own message');
    return completions.map((text) => text.length * Value.Right + bonus + (typeof readFileSync === 'function' ? 0 : 1));
  }
}
orms['longest'] = Longest;
`;

describe('loadPlugins', () => {
  test('TypeScript with an enum, parameter properties, top-level await; shares the registry and the errors', async () => {
    const file = plugin('good.ts', source);
    await loadPlugins([file]);
    expect([...ormFiles].filter(([, from]) => from === file)).toEqual([['longest', file]]);
    const rewards = createRewards(['longest']);
    expect(rewards[0]).toMatchObject({ label: 'Longest', file });
    expect((await runRewards(rewards, ['ab', ''], rewardKwargs(2, null)))[0]!.values).toEqual([6.5, 0.5]);
    await expect(runRewards(rewards, ['told'], rewardKwargs(1, null))).rejects.toThrow(SightlineError);
  });

  test('a throwing reward is placed in the TypeScript source', async () => {
    const file = plugin('throws.ts', source);
    await loadPlugins([file]);
    await expect(runRewards(createRewards(['longest']), ['boom'], rewardKwargs(1, null))).rejects.toMatchObject({
      message: 'reward "longest" threw: cannot judge',
      where: expect.stringMatching(/throws\.ts:9$/),
    });
  });

  test.each([
    ['in its class', 'class R {\n  x: number = 1;\n\n  call(c: string[]) {\n    return c.map(() => NaN);\n  }\n}', 6],
    ['inherited', 'class B {\n  async call(c: string[]) { return c.map(() => NaN); }\n}\nclass R extends B {}', 4],
    ['of no place: bound', 'class R { call() {} }\nR.prototype.call = ((c) => c.map(() => NaN)).bind(null);', null],
    [
      'of the package',
      "import { DDAPOAttentionORM } from 'sightline';\nclass R extends DDAPOAttentionORM {\n  rewardsOf() { return [NaN]; }\n}",
      null,
    ],
    [
      'that logs a name of the trainer',
      'class R {\n  call(c: string[], kwargs: any) {\n    kwargs.log_metric("loss", 1);\n    return [1];\n  }\n}',
      5,
    ],
  ])('a call that returns NaN is placed: %s', async (name, body, line) => {
    const file = plugin(
      `nan ${name.replaceAll(/\W/g, '')}.ts`,
      `import { orms } from 'sightline';\n\n${body}\norms.nan = R;\n`,
    );
    await loadPlugins([file]);
    const judging = runRewards(createRewards(['nan']), ['a'], rewardKwargs(1, null, { completion_ids: [[]] }));
    await expect(judging).rejects.toMatchObject({
      code: 'E_REWARD_RETURN',
      where: line === null ? file : `${file}:${line}`,
    });
  });

  test('a call that stands in a file which the plugin imports is placed there', async () => {
    const helper = plugin('helper.ts', 'type A = 1;\nexport class R {\n  call() { return [NaN]; }\n}\n');
    await loadPlugins([
      plugin('imports.ts', "import { orms } from 'sightline';\nimport { R } from './helper.ts';\norms.far = R;\n"),
    ]);
    await expect(runRewards(createRewards(['far']), ['a'], rewardKwargs(1, null))).rejects.toMatchObject({
      where: `${helper}:3`,
    });
  });

  test('JavaScript, ESM and CommonJS', async () => {
    const call = 'class R { call(c) { return c.map(() => 1); } }';
    await loadPlugins([
      plugin('a.mjs', `import { orms } from 'sightline'; ${call} orms.esm = R;`),
      plugin('b.cjs', `const { orms } = require('sightline'); ${call} orms.cjs = R;`),
    ]);
    expect(Object.keys(orms)).toEqual(expect.arrayContaining(['esm', 'cjs']));
  });

  test('a plugin that replaces a built-in reward is on record', async () => {
    const before = orms.format!;
    const file = plugin(
      'replace.ts',
      `import { orms } from 'sightline'; orms.format = class Mine { call() { return []; } };`,
    );
    try {
      await loadPlugins([file]);
      expect(ormFiles.get('format')).toBe(file);
    } finally {
      orms.format = before;
      ormFiles.delete('format');
    }
  });

  test('a missing file', async () => {
    expect(await fault(join(dir, 'nowhere.ts'))).toMatchObject({
      code: 'E_PLUGIN_MISSING',
      where: '--external_plugins',
    });
    expect(await fault(dir)).toMatchObject({ code: 'E_PLUGIN_MISSING' });
  });

  test('a Python file', async () => {
    const error = await fault(plugin('plugin.py', 'orms["x"] = 1'));
    expect(error).toMatchObject({ code: 'E_PLUGIN_TYPE', hint: expect.stringMatching(/\.ts file/) });
  });

  test('a syntax error has its line', async () => {
    const file = plugin('syntax.ts', 'const a = 1;\nconst b: number = ;\n');
    expect(await fault(file)).toMatchObject({
      code: 'E_PLUGIN_SYNTAX',
      message: expect.stringMatching(/does not parse: Unexpected token$/),
      where: expect.stringMatching(/syntax\.ts:2$/),
    });
  });

  test('a throw while loading has its line', async () => {
    const file = plugin('load.ts', "enum A { X }\ninterface B { a: A }\n\nthrow new Error('not today');\n");
    expect(await fault(file)).toMatchObject({
      code: 'E_PLUGIN_THREW',
      message: 'plugin threw while loading: not today',
      where: expect.stringMatching(/load\.ts:4$/),
    });
  });

  test('one that hangs at its top level is told of by name; a signal ends the wait', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const file = plugin('hangs.ts', 'globalThis.isHanging = true;\nawait new Promise(() => undefined);\n');
    const controller = new AbortController();
    const lines: string[] = [];
    const loading = loadPlugins([file], { signal: controller.signal, warn: (text) => lines.push(text) });
    await vi.waitUntil(() => 'isHanging' in globalThis);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lines).toEqual([expect.stringContaining(`the plugin ${file} is still loading after 60 s`)]);
    controller.abort(new Error('stop'));
    await expect(loading).rejects.toBe(controller.signal.reason);
    vi.useRealTimers();
  });

  test('a missing package is named', async () => {
    const file = plugin('import.ts', "import x from 'no-such-package-here';\nconsole.log(x);\n");
    expect(await fault(file)).toMatchObject({
      message: expect.stringMatching(/no-such-package-here/),
      hint: expect.stringMatching(/install the package/),
    });
  });
});
