/**
 * Reward `multiple_choice`: 1 if the completion names the right letters, else 0.
 * Knows how letters are compared, not how they are written.
 */
import { answerText } from '../answer_text.ts';
import { textColumn } from '../columns.ts';
import type { ORM, RewardKwargs } from '../contract.ts';
import { answerTag } from '../math/extract.ts';
import { createNullReasons } from '../null_reasons.ts';
import { lettersOf, optionsOf } from './letters.ts';

/**
 * Exact match between the letters of the answer and those of the `solution`; logged as `rewards/MultipleChoice/mean`. With a
 * column `options`, the text of an option stands for its letter on both sides.
 *
 * 0 for an answer without a letter, because it is not shown to be right. Null if the row's solution or options cannot be read.
 */
export class MultipleChoice implements ORM {
  static readonly columns = ['solution'];
  private readonly because = createNullReasons('multiple_choice');

  call(completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const { logger } = kwargs;
    const solutions = textColumn(kwargs, 'solution', completions.length, 'multiple_choice');
    const columns = kwargs.options as readonly unknown[] | undefined;
    return completions.map((completion, i) => {
      const solution = solutions[i] ?? null;
      if (solution === null) return null;
      const column = columns?.[i] ?? null;
      const options = column === null ? null : optionsOf(column);
      if (column !== null && options === null) {
        const reason = '"options" of a row is not a list of 1 to 26 texts, nor an object with the letters A, B, C, …';
        return this.because(logger, reason, JSON.stringify(column).slice(0, 80));
      }
      const right = lettersOf(answerTag(solution) ?? solution, options);
      if (right === null) {
        const reason = 'the solution of a row names no letter of its options, and is not the text of one';
        return this.because(logger, reason, JSON.stringify(solution.slice(0, 60)));
      }
      return lettersOf(answerText(completion), options) === right ? 1 : 0;
    });
  }
}
