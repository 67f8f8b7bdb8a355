import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseLog, readArms, summariseArms } from '../../src/demo/arms.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'demo arms '));
});
afterEach(() => rmSync(root, { recursive: true }));

const name = 'MultiModalAccuracyORM';
const training = (step: number, accuracy: number, correlation?: number) => ({
  loss: 0.1,
  [`rewards/${name}/mean`]: accuracy,
  'rewards/Format/mean': 1,
  ...(correlation === undefined ? {} : { [`attention/corr_tdr_${name}`]: correlation }),
  'global_step/max_steps': `${step}/2`,
});
const evaluation = (step: number, accuracy: number, tdr: number) => ({
  [`eval_rewards/${name}/mean`]: accuracy,
  'eval_attention/tdr_mean': tdr,
  'eval_completions/mean_length': 20,
  'global_step/max_steps': `${step}/2`,
});

function writeRun(arm: string, seed: number, records: readonly object[], status = 'completed'): void {
  const dir = join(root, arm, `seed-${seed}`);
  mkdirSync(dir, { recursive: true });
  const closed = [...records, { status, log_history: records }];
  writeFileSync(join(dir, 'logging.jsonl'), closed.map((record) => `${JSON.stringify(record)}\n`).join(''));
}

test('averages over seeds with the sample deviation, by hand', async () => {
  writeRun('none', 0, [evaluation(0, 0.5, 1.1), training(1, 0.6, -0.4), training(2, 0.8), evaluation(2, 0.9, 1.0)]);
  writeRun('none', 1, [evaluation(0, 0.5, 1.1), training(1, 0.4, -0.2), training(2, 0.8), evaluation(2, 1.0, 1.2)]);
  writeRun('strong', 10, [evaluation(0, 0.5, 1.1), training(1, 0.4), evaluation(1, 0.96, 1), evaluation(2, 0.2, 1)]);
  const text = summariseArms(await readArms(root, ['none', 'strong']));
  const rows = text.split('\n').filter((line) => /^\| (none|strong)/.test(line));
  expect(rows).toEqual([
    '| none | 2 | 0.500 ± 0.000 | – | 0.950 ± 0.071 | never, 2 |',
    '| strong | 1 | 0.500 | 0.960 | 0.200 | 1 |',
    '| none | 1.100 ± 0.000 -> 1.100 ± 0.141 | 20.000 ± 0.000 -> 20.000 ± 0.000 | -0.300 ± 0.141 -> -0.300 ± 0.141 | 0.650 ± 0.071 | 1.000 ± 0.000 |',
    '| strong | 1.100 -> 1.000 | 20.000 -> 20.000 | – -> – | 0.400 | 1.000 |',
  ]);
});

test('a value that some runs lack is not averaged silently', async () => {
  writeRun('none', 0, [training(1, 0.5, -0.5)]);
  writeRun('none', 1, [training(1, 0.5)]);
  expect(summariseArms(await readArms(root, ['none']))).toContain('-0.500 (1 of 2 runs)');
});

test('runs that are not finished are left out, and named', async () => {
  writeRun('none', 0, [training(1, 0.5)]);
  writeRun('none', 1, [training(1, 0.9)], 'interrupted');
  mkdirSync(join(root, 'none', 'seed-2'));
  const text = summariseArms(await readArms(root, ['none']));
  expect(text).toContain('| none | 1 |');
  expect(
    text.endsWith(
      `\nLeft out because they are not finished: ${join(root, 'none/seed-1')}, ${join(root, 'none/seed-2')}\n`,
    ),
  ).toBe(true);
});

describe('what is missing or broken is named', () => {
  test('an arm without runs', async () => {
    await expect(readArms(root, ['none'])).rejects.toMatchObject({ code: 'E_RUN_MISSING', where: join(root, 'none') });
    writeRun('none', 0, [training(1, 0.5)], 'interrupted');
    await expect(readArms(root, ['none'])).rejects.toMatchObject({ code: 'E_RUN_MISSING' });
  });

  test('the closing record repeats the others and does not count', () => {
    const closing = JSON.stringify({ global_step: 2, log_history: [training(1, 1)] });
    expect(parseLog(`${JSON.stringify(training(1, 1))}\n${closing}\n`, 'log').training).toHaveLength(1);
  });

  test('a line that is no record', () => {
    const good = JSON.stringify(training(1, 1));
    expect(parseLog(`${good}\n\n`, 'log').training).toHaveLength(1);
    expect(() => parseLog(`${good}\n{"a": `, 'log')).toThrow(expect.objectContaining({ where: 'log:2' }));
    expect(() => parseLog('{"loss": 1}', 'log')).toThrow(/global_step\/max_steps/);
  });
});
