import { describe, expect, test } from 'vitest';
import { consoleReport, progressBar } from '../../src/report/console.ts';
import { createStopwatch } from '../../src/report/stopwatch.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { endEvent, logEvent, startEvent } from './events.ts';

const metrics = {
  loss: 0.00012,
  reward: 3.21234,
  reward_std: 0.4,
  'rewards/DDAPOAttentionORM/mean': -1.0612,
  'rewards/DDAPOAttentionORM/std': 0.02,
  'rewards/Format/mean': 1,
  'attention/tdr_mean': 1.0612,
  'completions/mean_length': 22.5,
  learning_rate: 3e-5,
};

const events: TrainEvent[] = [
  startEvent(),
  { type: 'notice', level: 'debug', text: '[DDAPO_DEBUG] output_attentions = true' },
  { type: 'notice', level: 'warn', text: 'one reward \u001b[31mis null' },
  { type: 'progress', step: 1, maxSteps: 2, epoch: 0.5 },
  logEvent(1, metrics),
  {
    type: 'completions',
    step: 1,
    rows: [
      {
        prompt: 'what\ncolour?',
        completion: 'red\u001b]0;title\u0007\u202e',
        rewards: { Format: 1, DDAPOAttentionORM: null },
        advantage: 0.75,
        extras: { tdr: null },
      },
      {
        prompt: 'what\ncolour?',
        completion: '红色',
        rewards: { Format: 0, DDAPOAttentionORM: -1.1 },
        advantage: -0.75,
        extras: { tdr: 1.1 },
      },
      { prompt: 'another', completion: 'x', rewards: {}, advantage: 0, extras: {} },
    ],
  },
  { type: 'eval', step: 2, maxSteps: 2, epoch: 1, metrics: { reward: 4 } },
  { type: 'checkpoint', step: 2, dir: 'output/v0/checkpoint-2' },
  endEvent(),
];

function show(terminal: { isTTY?: boolean; columns?: number }, env: Record<string, string> = {}): string {
  const out: string[] = [];
  const report = consoleReport(
    { ...terminal, write: (text) => out.push(text) },
    { title: 'sightline rlhf', completionsToPrint: 2, eventFiles: true, env, stopwatch: createStopwatch(() => 0) },
  );
  for (const event of events) report.onEvent(event);
  report.close?.();
  return out.join('');
}

describe('not a terminal', () => {
  test('one plain line per record, start screen and summary', () => {
    expect(show({}).replace(/[\d.]+ GiB/g, 'N GiB')).toMatchInlineSnapshot(`
      "sightline rlhf
      model    model
               Qwen2_5_VLForConditionalGeneration, 1.62 M parameters, 1.2 M trained (74.1%)
      data     512 rows, 100 for evaluation; left out: 3 (too long)
      given    learning_rate 3e-5, reward_funcs ddapo_attention format
      output   output/v0
      steps    2

      [DDAPO_DEBUG] output_attentions = true
      warning: one reward �[31mis null
      step 1/2 | epoch 0.50 | loss 1.2e-4 | reward 3.212 ± 0.4 | DDAPOAttentionORM -1.061 | Format 1 | tdr 1.061 | length 22.5 | lr 3e-5 | 0 s/it | N GiB | elapsed 0s | remaining 0s
      completions at step 1 (2 of 3)
        prompt: what ⏎ colour?
        > red�]0;title��
          advantage 0.75 | Format 1 | DDAPOAttentionORM null | tdr null
        > 红色
          advantage -0.75 | Format 0 | DDAPOAttentionORM -1.1 | tdr 1.1
      evaluation at step 2: reward 4
      saved output/v0/checkpoint-2

      done: 2 of 2 steps in 0.0s (rollout 1.5s, update 2.5s)
      logged              first  last
      reward                1.5  4.25
      attention/tdr_mean   1.09  1.05
      evaluation  before  after
      reward           1      4
      memory      N GiB at most
      output      output/v0
      checkpoint  output/v0/checkpoint-2
      next
        sightline infer --model output/v0/checkpoint-2 --image FILE
        sightline score --model output/v0/checkpoint-2 --dataset FILE.jsonl --output scores.jsonl
        tensorboard --logdir output/v0/runs
      "
    `);
  });

  test.each([
    ['a pipe', {}, {}],
    ['CI', { isTTY: true }, { CI: 'true' }],
    ['a dumb terminal', { isTTY: true }, { TERM: 'dumb' }],
  ])('%s: no control codes, whatever the texts hold', (_, terminal, env) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(show(terminal, env)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  });
});

describe('a terminal', () => {
  test('keeps a bar below what is printed, and no bar after the end', () => {
    const text = show({ isTTY: true, columns: 60 });
    expect(text).toContain('\r\u001b[2K 50% ██████████░░░░░░░░░░ 1/2');
    expect(text).toContain('\u001b[33mwarning: one reward');
    expect(text.endsWith('runs\n')).toBe(true);
  });
  test('NO_COLOR keeps the bar and drops the colours', () => {
    const text = show({ isTTY: true }, { NO_COLOR: '1' });
    expect(text).toContain('\u001b[2K');
    expect(text).not.toContain('\u001b[33m');
    expect(text).not.toContain('\u001b[1m');
  });
});

test.each([20, 40, 80, 200])('the bar stays within %d columns', (columns) => {
  const bar = progressBar(
    7,
    40,
    metrics,
    createStopwatch(() => 0),
    columns,
  );
  expect([...bar].length).toBeLessThan(columns);
  expect(bar.startsWith(' 17% ')).toBe(true);
});
