import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { consoleReport, progressBar } from '../../src/report/console.ts';
import { createStopwatch } from '../../src/report/stopwatch.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { endEvent, logEvent, rowOrigin, startEvent } from './events.ts';

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
        row: rowOrigin(),
        prompt: 'what\ncolour?',
        completion: 'red\u001b]0;title\u0007\u202e',
        rewards: { Format: 1, DDAPOAttentionORM: null },
        advantage: 0.75,
        extras: { tdr: null },
      },
      {
        row: rowOrigin(),
        prompt: 'what\ncolour?',
        completion: '红色',
        rewards: { Format: 0, DDAPOAttentionORM: -1.1 },
        advantage: -0.75,
        extras: { tdr: 1.1 },
      },
      {
        row: rowOrigin({ source: 'train.jsonl:4' }),
        prompt: 'another',
        completion: 'x',
        rewards: {},
        advantage: 0,
        extras: {},
      },
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
        prompt (train.jsonl:3): what ⏎ colour?
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
        sightline ui output/v0
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
    expect(text).toContain('\r\u001b[2K 50% █████░░░░░ 1/2');
    expect(text).toContain('\u001b[33mwarning: one reward');
    expect(text.endsWith('runs\n')).toBe(true);
  });
  test('shows the best and the worst completion as a table, and no line per record', () => {
    const text = show({ isTTY: true, columns: 90 });
    const lines = text.split('\n').map((line) => line.slice(line.lastIndexOf('\u001b[2K') + 1).replace('[2K', ''));
    const from = lines.indexOf('step 1, 3 completions');
    expect(lines.slice(from, from + 4)).toEqual([
      'step 1, 3 completions',
      '       reward  Format  DDAPOAttentionORM  completion',
      'best      1         1                -    red\ufffd]0;title\ufffd\ufffd',
      'worst    -1.1       0               -1.1  红色',
    ]);
    expect(text).not.toContain('epoch 0.50');
  });
  test('NO_COLOR keeps the bar and drops the colours', () => {
    const text = show({ isTTY: true }, { NO_COLOR: '1' });
    expect(text).toContain('\u001b[2K');
    expect(text).not.toContain('\u001b[33m');
    expect(text).not.toContain('\u001b[1m');
  });
});

test.each([
  [60, ' 17% ██░░░░░░░░ 7/40 [0s < ?] reward 3.212 ± 0.4'],
  [80, ' 17% ██░░░░░░░░ 7/40 [0s < ?] reward 3.212 ± 0.4 | rollout 310 tokens/s'],
  [110, ' 17% ████░░░░░░░░░░░░░░░░ 7/40 [0s < ?] reward 3.212 ± 0.4 | loss 1.2e-4 | Format 1 | rollout 310 tokens/s'],
] as const)('in %d columns the bar shows whole numbers, the reward first', (columns, expected) => {
  const bar = progressBar({
    step: 7,
    maxSteps: 40,
    metrics,
    stopwatch: createStopwatch(() => 0),
    phase: { shortText: () => 'rollout 310 tokens/s' },
    columns,
  });
  expect(bar).toContain(expected);
});

test.each([20, 40, 80, 200])('the bar stays within %d columns', (columns) => {
  const bar = progressBar({
    step: 7,
    maxSteps: 40,
    metrics,
    stopwatch: createStopwatch(() => 0),
    phase: { shortText: () => 'rollout 310 tokens/s' },
    columns,
  });
  expect([...bar].length).toBeLessThan(columns);
  expect(bar.startsWith(' 17% ')).toBe(true);
});

describe('inside a long step', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** What is written from the start of a run on, `seconds` after the events. */
  function during(terminal: { isTTY?: boolean }, begun: readonly TrainEvent[], seconds: number): string {
    const out: string[] = [];
    const report = consoleReport(
      { ...terminal, columns: 100, write: (text) => out.push(text) },
      { title: 'sightline rlhf', completionsToPrint: 2, eventFiles: true, env: {} },
    );
    for (const event of begun) report.onEvent(event);
    out.length = 0;
    vi.advanceTimersByTime(seconds * 1000);
    report.close?.();
    return out.join('');
  }

  const rollout: readonly TrainEvent[] = [
    startEvent({ maxSteps: 40 }),
    { type: 'phase', phase: 'rollout', begins: true },
    { type: 'phase', phase: 'rollout', begins: false, tokens: 800 },
  ];

  test('off a terminal a line comes within 10 seconds, then one a minute', () => {
    expect(during({}, rollout, 7)).toBe('');
    expect(during({}, rollout, 10)).toBe('step 1/40 | rollout 8s, 800 tokens, 100 tokens/s | elapsed 8s\n');
    expect(during({}, rollout, 130).split('\n')).toEqual([
      expect.stringContaining('rollout 8s'),
      expect.stringContaining('rollout 1m 8s'),
      expect.stringContaining('rollout 2m 8s'),
      '',
    ]);
  });

  test('also while nothing has been written at all: data and checkpoint are opened', () => {
    expect(during({}, [{ type: 'phase', phase: 'open model', begins: true }], 10)).toBe('loading the model 8s\n');
  });

  test('a dry run says what it rehearses', () => {
    const events: TrainEvent[] = [startEvent({ dryRun: true }), { type: 'phase', phase: 'rollout', begins: true }];
    expect(during({}, events, 9).split('\n').slice(-2)).toEqual(['dry run: rollout 8s', '']);
  });

  test('between steps and in an evaluation it says how far that is', () => {
    const events: TrainEvent[] = [
      ...rollout,
      { type: 'progress', step: 1, maxSteps: 40, epoch: 0 },
      { type: 'phase', phase: 'eval', begins: true },
      { type: 'phase', phase: 'eval', begins: false, done: 64, total: 200 },
    ];
    expect(during({}, events, 9)).toBe('step 1/40 | evaluation 8s, 64 of 200 | elapsed 8s | remaining 0s\n');
  });

  test('nothing is said after the end', () => {
    expect(during({}, [...rollout, endEvent()], 100)).toBe('');
  });

  test('on a terminal the bar moves', () => {
    const bars = during({ isTTY: true }, rollout, 3).split('\r\u001b[2K');
    expect(bars).toContain('  0% ░░░░░░░░░░░░░░░░░░░░ 0/40 [2s < ?] rollout 400 tokens/s');
    expect(new Set(bars).size).toBeGreaterThan(3);
  });
});

test('a dry run says at once that it writes nothing', () => {
  const out: string[] = [];
  const report = consoleReport(
    { write: (text) => out.push(text) },
    { title: 'sightline rlhf', completionsToPrint: 0, eventFiles: false, env: {} },
  );
  report.onEvent(startEvent({ dryRun: true }));
  report.close?.();
  expect(out.join('')).toContain('output   none: a dry run writes nothing\n');
  expect(out.join('')).not.toContain('output/v0');
});

test('one row is a row, and an empty text is shown as one', () => {
  const out: string[] = [];
  const report = consoleReport(
    { write: (text) => out.push(text) },
    { title: 'sightline rlhf', completionsToPrint: 0, eventFiles: false, env: {} },
  );
  report.onEvent(startEvent({ changed: { system: '' }, data: { rows: 1, evalRows: 0, dropped: {} } }));
  report.close?.();
  expect(out.join('')).toMatch(/^data {5}1 row$/m);
  expect(out.join('')).toMatch(/^given {4}system ""$/m);
});
