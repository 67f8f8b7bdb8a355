/**
 * What rewards are handed, what becomes of their values, and that a reward without a value never counts as 0.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { RolloutGroup } from '../../src/grpo/rollout.ts';
import type { PolicyModel } from '../../src/models/types.ts';
import type { ORM, RewardKwargs, RewardValues } from '../../src/rewards/contract.ts';
import type { Reward } from '../../src/rewards/reward.ts';
import { type JudgeOptions, judge } from '../../src/train/judge.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  type FlagValues,
  pictureRow,
  readRun,
  readWeights,
  runFolder,
  type TinyProject,
  tinyProject,
  tinyRun,
  weightDifference,
  writeRows,
} from '../helpers/tiny.ts';

type Call = ORM['call'];

function reward(name: string, call: Call, weight = 1): Reward {
  return { name, label: name, orm: { call }, weight, needs: [], file: undefined };
}

const side = { width: 28, height: 28 };

/** A group of a prompt of `promptIds`, completions given as ids; their text is the ids. */
function group(
  columns: Record<string, unknown>,
  completions: readonly number[][],
  promptIds = [7, 8, 9],
): RolloutGroup {
  return {
    prompt: {
      row: {
        index: 0,
        where: 'rows.jsonl:1',
        messages: [{ role: 'user', content: 'why?' }],
        images: [],
        tools: [],
        columns,
        notes: [],
      },
      text: 'why?',
      ids: Int32Array.from(promptIds),
      images: [],
      systemPrefix: 1,
    },
    completions: completions.map((ids) => ({ ids: Int32Array.from(ids), text: ids.join(' '), truncated: false })),
  };
}

const model: PolicyModel = {
  config: {},
  is_gradient_checkpointing: false,
  gradient_checkpointing_disable: () => undefined,
  gradient_checkpointing_enable: () => undefined,
  forward: () => Promise.reject(new Error('no forward here')),
};

function judging(rewards: readonly Reward[]): JudgeOptions {
  const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };
  return {
    rewards,
    model: { ...model, modelConfig: { imageTokenId: 100, videoTokenId: 101, text: { numHiddenLayers: 2 } } },
    attnProbe: 'fused',
    normBbox: 'none',
    logger: quiet,
    step: 3,
    maxSteps: 10,
  };
}

const groups = [group({ solution: 'a', hard: true }, [[1], [2, 3]]), group({ solution: 'b' }, [[4], [5]], [6])];
const judged = (...calls: Call[]) => judge(groups, judging(calls.map((call, i) => reward(`r${i}`, call))));

describe('what a reward gets', () => {
  test('every column once per completion, undefined where a row lacks it, and what the contract names', async () => {
    let completions: readonly string[] = [];
    let kwargs!: RewardKwargs;
    await judged((...given) => {
      [completions, kwargs] = given;
      return given[0].map(() => 0);
    });
    expect(completions).toEqual(['1', '2 3', '4', '5']);
    expect(kwargs.solution).toEqual(['a', 'a', 'b', 'b']);
    expect(kwargs.hard).toEqual([true, true, undefined, undefined]);
    expect(kwargs.trainer_state).toEqual({ global_step: 3, max_steps: 10 });
    expect(kwargs.num_generations).toBe(2);
    expect(kwargs.prompt_ids.map((ids) => [...Array.from(ids)])).toEqual([[7, 8, 9], [7, 8, 9], [6], [6]]);
    expect(kwargs.completion_ids.map((ids) => [...Array.from(ids)])).toEqual([[1], [2, 3], [4], [5]]);
    expect(kwargs.system_prefix).toEqual([1, 1, 1, 1]);
    expect([kwargs.image_token_id, kwargs.video_token_id]).toEqual([100, 101]);
    expect(kwargs.attention_masses).toBeNull();
    for (const name of ['messages', 'images']) expect(kwargs[name]).toHaveLength(4);
  });

  test('a column of the dataset does not take the place of what the contract names', async () => {
    let kwargs!: RewardKwargs;
    const call: Call = (completions, given) => {
      kwargs = given;
      return completions.map(() => 0);
    };
    const hostile = group({ model: 'mine', completion_ids: [1], log_metric: 'x', __proto__x: 1 }, [[1], [2]]);
    await judge([hostile], judging([reward('r', call)]));
    expect(kwargs.completion_ids.map((ids) => [...Array.from(ids)])).toEqual([[1], [2]]);
    expect(kwargs.model).toHaveProperty('forward');
    expect(kwargs.log_metric).toBeTypeOf('function');
  });

  test('attention masses by span, as the probe measured them', async () => {
    const scored = groups.map(({ prompt, completions }) => ({
      prompt,
      completions: completions.map((completion) => ({
        ...completion,
        // layer 5: visual 0.25, text 0.5, system 0.125 for each token; layer 6: 1, 2 and 3
        masses: new Map([
          [5, Float32Array.from(Array.from(completion.ids).flatMap(() => [0.25, 0.5, 0.125]))],
          [6, Float32Array.from(Array.from(completion.ids).flatMap(() => [1, 2, 3]))],
        ]),
      })),
    }));
    let kwargs!: RewardKwargs;
    const call: Call = (completions, given) => {
      kwargs = given;
      return completions.map(() => 0);
    };
    await judge(scored, judging([reward('r', call)]));
    expect(kwargs.attention_masses![1]).toEqual({
      visual: [Float32Array.of(0.25, 0.25), Float32Array.of(1, 1)],
      text: [Float32Array.of(0.5, 0.5), Float32Array.of(2, 2)],
      system: [Float32Array.of(0.125, 0.125), Float32Array.of(3, 3)],
    });
  });
});

describe('what becomes of the values', () => {
  test('the weighted sum; metrics and columns a reward logs', async () => {
    const call: Call = (completions, { log_metric, log_extra }) => {
      log_metric('own/number', 4);
      log_extra('own', [1, undefined, { a: Number.NaN }, 'x']);
      return completions.map((_, i) => i);
    };
    const other: Call = (completions) => completions.map(() => 10);
    const { totals, metrics, extras, columns } = await judge(
      groups,
      judging([reward('a', call, 2), reward('b', other, 0.5)]),
    );
    expect(totals).toEqual([5, 7, 9, 11]);
    expect(metrics).toEqual({ 'own/number': 4 });
    expect(extras.get('own')).toEqual([1, null, { a: null }, 'x']);
    expect(columns.map(({ label, values }) => [label, values])).toEqual([
      ['a', [0, 1, 2, 3]],
      ['b', [10, 10, 10, 10]],
    ]);
  });

  test.each<[string, RewardValues, RewardValues, (number | null)[]]>([
    ['one sample of a group', [null, 1, 1, 1], [5, 5, 5, 5], [null, 6, 6, 6]],
    ['a whole group: the reward does not apply there', [null, null, 1, 1], [5, 5, 5, 5], [5, 5, 6, 6]],
    ['undefined, which is null', [undefined, 1, 1, 1], [5, 5, 5, 5], [null, 6, 6, 6]],
    ['every sample', [null, null, null, null], [5, 5, 5, 5], [5, 5, 5, 5]],
    ['all of all rewards', [null, null, null, null], [null, null, null, null], [null, null, null, null]],
  ])('null: %s', async (_, first, second, totals) => {
    const result = await judged(
      () => first,
      () => second,
    );
    expect(result.totals).toEqual(totals);
  });

  test('a column of another length is refused, with the reward that logged it', async () => {
    const call: Call = (completions, { log_extra }) => {
      log_extra('tdr', [1]);
      return completions.map(() => 0);
    };
    await expect(judged(call)).rejects.toThrow(`reward "r0" threw: log_extra('tdr') got 1 values for 4 completions`);
  });

  test('a reward that edits what it got does not reach the others', async () => {
    let seen: readonly string[] = [];
    await judged(
      (completions) => {
        const copy = completions as string[];
        copy.length = 0;
        return [0, 0, 0, 0];
      },
      (completions) => {
        seen = completions;
        return completions.map(() => 0);
      },
    );
    expect(seen).toHaveLength(4);
  });

  test('nor does it reach them, or what is learned, through columns, ids, messages, images or masses', async () => {
    const whole = group({ solution: { words: ['a'] } }, [[1], [2, 3]]);
    const masses = new Map([[0, Float32Array.of(0.25, 0.5, 0.125)]]);
    const edited: RolloutGroup = {
      completions: whole.completions.map((completion) => ({ ...completion, masses })),
      prompt: {
        row: whole.prompt.row,
        text: 'why?',
        ids: Int32Array.of(7, 8),
        systemPrefix: 1,
        images: [
          { hash: 'h', gridThw: [1, 2, 2], size: { stored: side, shown: side }, pixelValues: Float32Array.of(1, 2) },
        ],
      },
    };
    const before = structuredClone(edited);
    // biome-ignore lint/suspicious/noExplicitAny: it does what its types forbid
    const vandal = (completions: readonly string[], kwargs: any) => {
      kwargs.solution[0].words[0] = 'b';
      kwargs.solution.length = 1;
      kwargs.trainer_state.global_step = 0;
      kwargs.prompt_ids[0].fill(0);
      for (const ids of kwargs.completion_ids) ids.fill(0);
      kwargs.messages[0][0].content = 'else';
      kwargs.images[0][0].pixelValues.fill(0);
      kwargs.images[0][0].gridThw[0] = 5;
      kwargs.images[0][0].hash = 'other';
      kwargs.system_prefix.fill(0);
      kwargs.attention_masses[0].visual[0].fill(0);
      return completions.map(() => 0);
    };
    let seen!: RewardKwargs;
    const reader: Call = (completions, kwargs) => {
      seen = kwargs;
      return completions.map(() => 0);
    };
    await judge([edited], judging([reward('vandal', vandal as Call), reward('reader', reader)]));
    expect(edited).toEqual(before);
    expect(seen).toMatchObject({
      solution: [{ words: ['a'] }, { words: ['a'] }],
      trainer_state: { global_step: 3 },
      prompt_ids: [before.prompt.ids, before.prompt.ids],
      completion_ids: before.completions.map(({ ids }) => ids),
      messages: [before.prompt.row.messages, before.prompt.row.messages],
      images: [before.prompt.images, before.prompt.images],
      system_prefix: [1, 1],
    });
    expect(seen.attention_masses![0]!.visual[0]).toEqual(Float32Array.of(0.25));
  });
});

describe('in a run', () => {
  const root = temporaryFolder();
  let project: TinyProject;
  beforeAll(async () => {
    project = await tinyProject(root);
  });

  let plugins = 0;
  /** Flags of a run with the attention reward, `letters`, and a reward `test` whose `call` has the given body. */
  function withReward(body: string, rewards = ['letters', 'test']): FlagValues {
    const path = join(root, `plugin${plugins++}.ts`);
    writeFileSync(
      path,
      `import { orms } from 'sightline';\nclass Test { call(completions, kwargs) { ${body} } }\norms['test'] = Test;\n`,
    );
    return { external_plugins: [project.letters, path], reward_funcs: rewards };
  }

  test('text-only rows: the attention reward is null with its reason, and changes nothing', async () => {
    const attended = await tinyRun(project, 'text', { dataset: project.texts });
    for (const log of attended.logs) {
      expect(log['attention/undefined_frac']).toBe(1);
      expect(log['rewards/DDAPOAttentionORM/null_frac']).toBe(1);
      expect(log).not.toHaveProperty('rewards/DDAPOAttentionORM/mean');
      expect(log).not.toHaveProperty('attention/tdr_mean');
      expect(log.reward).toBe(log['rewards/Letters/mean']);
      expect(log.grad_norm).toBeGreaterThan(0.1);
    }
    expect(attended.completions.ddapo_attention!.every((value) => value === null)).toBe(true);
    expect(attended.completions.tdr!.every((value) => value === null)).toBe(true);
    expect(attended.stdout.match(/a sample has no ratio \(no visual tokens\)/g)).toHaveLength(1);
    const plain = await tinyRun(project, 'text plain', { dataset: project.texts, reward_funcs: 'letters' });
    const weights = ({ folder }: { folder: string }) => readWeights(join(folder, 'checkpoint-2'));
    expect(weightDifference(weights(attended), weights(plain))).toBe(0);
  });

  test.each(['eager', 'fused', 'auto'])('pictures and texts in one step, attn_probe %s', async (attn_probe) => {
    const mixed = join(root, 'mixed.jsonl');
    const text = { messages: [{ role: 'user', content: 'what?' }] };
    writeRows(mixed, [pictureRow('0.png', 'which?'), text]);
    const { logs, completions } = await tinyRun(project, `mixed ${attn_probe}`, { dataset: mixed, attn_probe });
    for (const log of logs) {
      expect(log['attention/undefined_frac']).toBe(0.5);
      expect(log['rewards/DDAPOAttentionORM/mean']).toBeCloseTo(-log['attention/tdr_mean']!, 7);
      expect(log['attention/corr_tdr_Letters']).toBeDefined();
    }
    expect(completions.tdr!.map((tdr) => tdr === null)).toEqual(
      completions.prompt!.map((prompt) => !String(prompt).includes('which')),
    );
  });

  test('one sample of each group is null: it has no advantage, the others are compared with each other', async () => {
    const flags = withReward('return completions.map((_, i) => (i % 4 === 1 ? null : 0));');
    const { completions, logs } = await tinyRun(project, 'one null', flags);
    const advantages = completions.advantages as number[];
    const letters = completions.letters as number[];
    for (let first = 0; first < advantages.length; first += 4) {
      expect(advantages[first + 1]).toBe(0);
      const others = [0, 2, 3].map((i) => letters[first + i]!);
      const mean = others.reduce((sum, x) => sum + x, 0) / 3;
      const std = Math.sqrt(others.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2);
      for (const i of [0, 2, 3]) {
        expect(advantages[first + i]).toBeCloseTo((letters[first + i]! - mean) / (std + 1e-4), 6);
      }
    }
    expect(logs[0]!['rewards/Test/null_frac']).toBe(0.25);
  });

  test('all null: the run goes on, says so once, and learns nothing', async () => {
    const { folder, logs, stdout } = await tinyRun(project, 'all null', {
      ...withReward('return completions.map(() => null);', ['test']),
      weight_decay: '0',
    });
    expect(stdout.match(/no completion got a reward/g)).toHaveLength(1);
    expect(stdout).not.toContain('returned no value');
    expect(logs).toHaveLength(2);
    for (const log of logs) {
      expect([log.loss, log.grad_norm, log.frac_reward_zero_std]).toEqual([0, 0, 1]);
      expect(log).not.toHaveProperty('reward');
    }
    expect(weightDifference(readWeights(join(folder, 'checkpoint-2')), readWeights(project.model))).toBe(0);
  });

  test('all null beside a reward that has values: said once, with the name', async () => {
    const { stdout, logs } = await tinyRun(project, 'null beside', withReward('return completions.map(() => null);'));
    expect(stdout.match(/returned no value/g)).toHaveLength(1);
    expect(stdout).toMatch(/step 1: reward "test" returned no value for any of the 8 completions/);
    expect(stdout).not.toContain('no completion got a reward');
    for (const log of logs) expect(log['rewards/Test/null_frac']).toBe(1);
  });

  test('a fault in the first step leaves nothing behind', async () => {
    const run = tinyRun(project, 'early', withReward('throw new Error("no scale");'));
    await expect(run).rejects.toThrow('reward "test" threw: no scale');
    expect(readdirSync(join(root, 'runs'))).not.toContain('early');
  });

  test('a fault later on leaves the steps before it: their records and a whole checkpoint', async () => {
    const body =
      'if (kwargs.trainer_state.global_step === 2) throw new Error("late"); return completions.map(() => 0);';
    const run = tinyRun(project, 'late', { ...withReward(body), max_steps: '4' });
    await expect(run).rejects.toThrow('reward "test" threw: late');
    const folder = runFolder(join(root, 'runs', 'late'));
    expect(readdirSync(folder).sort()).toEqual([
      'args.json',
      'attention',
      'checkpoint-2',
      'completions.jsonl',
      'logging.jsonl',
      'runs',
    ]);
    const saved = readWeights(join(folder, 'checkpoint-2'));
    const good = await tinyRun(project, 'good', withReward('return completions.map(() => 0);'));
    expect(weightDifference(saved, readWeights(join(good.folder, 'checkpoint-2')))).toBe(0);
    expect(readRun(folder).completions.step).toHaveLength(16);
  });
});
