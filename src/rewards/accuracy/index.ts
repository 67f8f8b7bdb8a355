/**
 * Reward `accuracy`: 1 if the completion's answer equals the `solution` column as mathematics, else 0.
 * Knows where to find answers; math/ does the algebra.
 */
import { textColumn } from '../columns.ts';
import type { ORM, RewardKwargs } from '../contract.ts';
import { checkMath } from '../math/check.ts';
import { answerTag, extractMath } from '../math/extract.ts';

/**
 * ms-swift's `MathAccuracy` (swift/rewards/orm.py), with exact arithmetic in place of an algebra library; logged as
 * `rewards/MathAccuracy/mean`.
 *
 * The answer is the content of `<answer>`, else the last `\boxed{}` or LaTeX formula. The reference is found in the same way,
 * or else is the whole text. A completion gets 0 if it has no answer, or one that does not parse or takes too long to
 * compare, because it is not shown to be right. If the *reference* is not mathematics, the value is null; ms-swift gives 0,
 * which has the same effect within a group.
 */
export class MathAccuracy implements ORM {
  static readonly columns = ['solution'];
  /** Name in messages. */
  protected readonly reward: string = 'accuracy';
  private warned = false;

  async call(completions: readonly string[], kwargs: RewardKwargs): Promise<(number | null)[]> {
    const solutions = textColumn(kwargs, 'solution', completions.length, this.reward);
    return Promise.all(
      completions.map(async (completion, i) => {
        const solution = solutions[i];
        if (solution === null || solution === undefined) return null;
        const reference = extractMath(answerTag(solution) ?? solution);
        if (reference === null) return this.unusable(solution, kwargs);
        const tagged = answerTag(completion);
        const answer =
          tagged === null ? extractMath(completion, { latexOnly: true }) : extractMath(tagged, { anyNumber: true });
        if (answer === null) return 0;
        const verdict = await checkMath(reference, answer);
        if (verdict === 'reference') return this.unusable(solution, kwargs);
        return verdict === 'equal' ? 1 : 0;
      }),
    );
  }

  /** The value for a reference that is not mathematics; warns the first time. */
  private unusable(solution: string, kwargs: RewardKwargs): null {
    if (!this.warned) {
      this.warned = true;
      kwargs.logger.warn(
        `${this.reward}: the solution ${JSON.stringify(solution.slice(0, 60))} is not mathematics that can be compared; such samples get no value. For answers in words, use external_r1v_acc.`,
      );
    }
    return null;
  }
}
