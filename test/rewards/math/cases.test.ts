import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MathAccuracy } from '../../../src/rewards/accuracy/index.ts';
import { rewardKwargs } from '../../helpers/reward_kwargs.ts';

interface Case {
  readonly shape: string;
  readonly gold: string;
  readonly answer: string;
  /** The truth, by hand. */
  readonly equal: boolean;
  /** What math-verify 0.9.0 says (make.py). */
  readonly mathVerify: boolean;
}

// The second set was written when the code was done, as an adversary would; 131 of its 134 were right at the first try.
describe.each(['cases', 'more_cases'])('%s.json', (name) => {
  const cases = JSON.parse(readFileSync(new URL(`./${name}.json`, import.meta.url), 'utf8')) as Case[];

  test('no wrong answer is called right, and as many are judged right as by math-verify', async () => {
    const kwargs = rewardKwargs(cases.length, null, { solution: cases.map(({ gold }) => `$${gold}$`) });
    const rewards = await new MathAccuracy().call(
      cases.map(({ answer }) => `<answer>$${answer}$</answer>`),
      kwargs,
    );
    const ours = tally(cases, (_, i) => rewards[i] === 1);
    const theirs = tally(cases, ({ mathVerify }) => mathVerify);
    console.log(
      `${name}.json: ours right ${ours.right} of ${cases.length}, wrongly 1: ${ours.wronglyEqual.length}; ` +
        `math-verify right ${theirs.right}, wrongly 1: ${theirs.wronglyEqual.length}`,
    );
    expect(ours.wronglyEqual).toEqual([]);
    expect(ours.right).toBeGreaterThanOrEqual(theirs.right);
    expect(ours.missed).toEqual([]);
    expect(cases.filter((_, i) => rewards[i] === null)).toEqual([]);
  });
});

function tally(cases: readonly Case[], says: (example: Case, i: number) => boolean) {
  const verdicts = cases.map((example, i) => ({ example, said: says(example, i) }));
  return {
    right: verdicts.filter(({ example, said }) => said === example.equal).length,
    wronglyEqual: verdicts.filter(({ example, said }) => said && !example.equal).map(({ example }) => example),
    missed: verdicts.filter(({ example, said }) => !said && example.equal).map(({ example }) => example),
  };
}
