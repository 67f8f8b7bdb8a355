import { afterEach, expect, test } from 'vitest';
import type { OrmConstructor } from '../../src/rewards/contract.ts';
import { DDAPOAttentionORM } from '../../src/rewards/ddapo_attention/index.ts';
import { metricsOfSignal } from '../../src/rewards/metric.ts';
import { createRewards, orms } from '../../src/rewards/registry.ts';
import { signalsOf } from '../../src/rewards/signals.ts';

const before = Object.keys(orms);
afterEach(() => {
  for (const name of Object.keys(orms)) if (!before.includes(name)) delete orms[name];
});

/** Registers a reward that states these signals. */
function register(name: string, signals: unknown): void {
  class Made {
    static readonly signals = signals;
    call(): number[] {
      return [];
    }
  }
  orms[name] = Made as OrmConstructor; // what a plugin states is not checked by types at run time
}

test('the metrics of the attention reward, and of a signal without a folder', () => {
  expect(DDAPOAttentionORM.signals.map(metricsOfSignal)).toEqual([
    { mean: 'attention/tdr_mean', std: 'attention/tdr_std', correlation: 'attention/corr_tdr_' },
  ]);
  expect(metricsOfSignal({ metric: 'sure' })).toEqual({
    mean: 'sure_mean',
    std: 'sure_std',
    correlation: 'corr_sure_',
  });
});

test('a subclass under another name shares the signal of its class', () => {
  orms.mine = class extends DDAPOAttentionORM {};
  expect(signalsOf(createRewards(['ddapo_attention', 'mine', 'format']))).toEqual(DDAPOAttentionORM.signals);
  expect(signalsOf(createRewards(['format']))).toEqual([]);
});

test.each([
  ['no list', { column: 'a', metric: 'b' }, /an object \(Object\)/],
  ['a name', ['tdr'], /the string "tdr"/],
  ['no column', [{ metric: 'mine/b' }], /undefined as a column/],
  ['no metric', [{ column: 'a', metric: '' }], /the string "" as a metric/],
  [
    'a metric of the trainer',
    [{ column: 'a', metric: 'entropy/a' }],
    /"entropy\/a_mean", a name that the trainer uses itself/,
  ],
  ['one that hides there', [{ column: 'a', metric: 'reward' }], /"reward_std", a name that the trainer uses itself/],
  ['a column of the file', [{ column: 'prompt', metric: 'mine/a' }], /column "prompt", which completions.jsonl has/],
  [
    'a wrong direction',
    [{ column: 'a', metric: 'b', watch: { pays: 'up', turned: 'x' } }],
    /"up" as "pays" of its watch/,
  ],
  ['no meaning', [{ column: 'a', metric: 'b', watch: { pays: 'low' } }], /undefined as "turned" of its watch/],
])('static signals with %s is refused by the name of the reward', (_, signals, message) => {
  register('bad', signals);
  expect(() => createRewards(['bad'])).toThrow(message);
  expect(() => createRewards(['bad'])).toThrow(/^reward "bad" has `static signals` with /);
});

test.each([
  ['column', [{ column: 'tdr', metric: 'mine/looks' }]],
  ['metric', [{ column: 'looks', metric: 'attention/tdr' }]],
])('two rewards that mean different things by one %s are refused', (_, signals) => {
  register('mine', signals);
  expect(() => createRewards(['ddapo_attention', 'mine'])).toThrow(
    /^rewards "ddapo_attention" and "mine" declare different signals: column "tdr" as attention\/tdr, column "\w+" as /,
  );
  expect(createRewards(['mine'])[0]!.signals).toEqual(signals);
});
