/**
 * Reward `external_r1v_acc`: 1 if the completion's answer equals the `solution` column, as mathematics or else as text.
 * Knows where to find answers; math/ does the algebra.
 */
import { textColumn } from '../columns.ts';
import type { ORM, RewardKwargs } from '../contract.ts';
import { checkMath } from '../math/check.ts';
import { answerTag, extractMath } from '../math/extract.ts';

/**
 * ms-swift's `MultiModalAccuracyORM` (examples/train/grpo/plugin/plugin.py), logged as `rewards/MultiModalAccuracyORM/mean`.
 * The value is 1 if the answers are equal as mathematics, or if the contents of `<answer>` (or the whole texts, without such
 * a block) are equal character by character, apart from white space at the ends.
 *
 * There are two differences from ms-swift. If there is an `<answer>` block, only the block counts; ms-swift takes the last
 * number anywhere in the text, which a completion can plant. And the block may span several lines.
 */
export class MultiModalAccuracyORM implements ORM {
  static readonly columns = ['solution'];

  async call(completions: readonly string[], kwargs: RewardKwargs): Promise<(number | null)[]> {
    const solutions = textColumn(kwargs, 'solution', completions.length, 'external_r1v_acc');
    return Promise.all(
      completions.map(async (completion, i) => {
        const solution = solutions[i];
        if (solution === null || solution === undefined) return null;
        const expected = answerTag(solution) ?? solution.trim();
        const given = answerTag(completion) ?? completion.trim();
        if (given === expected) return 1; // equal texts are equal mathematics
        const reference = extractMath(expected);
        const answer = reference === null ? null : extractMath(given, { anyNumber: true });
        if (reference === null || answer === null) return 0;
        return (await checkMath(reference, answer)) === 'equal' ? 1 : 0;
      }),
    );
  }
}
