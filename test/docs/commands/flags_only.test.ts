import { expect, test } from 'vitest';
import { checkFlags, programsOf } from './flags_only.ts';

test('a shell splits commands into words and starts none of them', () => {
  expect(
    programsOf(
      'export A=1\nnpx x --system \'two words\' --n $A \\\n  --m "$(sightline engine)"  # note\ncd nowhere\nA=2 swift rlhf | tee log',
    ),
  ).toEqual(
    expect.arrayContaining([
      ['sightline', 'engine'],
      ['npx', 'x', '--system', 'two words', '--n', '1', '--m', ''],
      ['swift', 'rlhf'],
      ['tee', 'log'],
    ]),
  );
});

const rlhf = ['npx', 'sightline', 'rlhf', '--model', 'm', '--dataset', 'd', '--reward_funcs', 'format'];

test.each([
  [[...rlhf, '--num_generations', '8']],
  [[...rlhf, '--engine', 'ms-swift', '--deepspeed', 'zero2']],
  [['swift', 'rlhf', '--deepspeed', 'zero3', '--reward_funcs', 'x']],
  [['sightline', 'demo', 'data', '--kind', 'grpo']],
  [['tensorboard', '--whatever']],
])('takes %j', (words) => {
  expect(() => checkFlags(words)).not.toThrow();
});

test.each([
  [[...rlhf, '--num_generation', '8'], /--num_generation: /],
  [[...rlhf, '--num_generations', 'many'], /num_generations/],
  [['sightline', 'trian'], /does not exist/],
  [['swift', 'rlhf', '--nonsense', '1'], /no --nonsense/],
  [['sightline', 'demo', 'data', '--sort', 'grpo'], /no --sort/],
  [['bash', 'examples/nothing.sh'], /does not exist/],
  [['bash', 'examples/train/grpo/run_grpo_with_ddapo.sh', '--lr', 'x'], /lr/],
])('refuses %j', (words, message) => {
  expect(() => checkFlags(words)).toThrow(message);
});
