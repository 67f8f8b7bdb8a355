/**
 * The prompt of a dataset row: what completions are sampled for.
 * Knows conversations and the template; not what is done with prompts.
 */
import { splitAnswer } from '../data/messages.ts';
import type { Row } from '../data/row.ts';
import type { RolloutPrompt } from '../grpo/rollout.ts';
import type { Template } from '../template/template.ts';

/**
 * Encodes rows as prompts. An answer at the end of a row stands where completions will be sampled, so it is left out, as in
 * ms-swift. Errors: those of the template's `encode`, at the row.
 */
export function encodePrompt(template: Template): (row: Row) => Promise<RolloutPrompt> {
  return async (row) => {
    const { where, tools } = row;
    const prompt = await template.encode(splitAnswer(row.messages).prompt, row.images, {
      where,
      tools,
      tooLongHint: TOO_LONG_HINT,
    });
    return { ...prompt, row };
  };
}

/** What can be done about a row of a training run that is too long. */
export const TOO_LONG_HINT =
  'raise --max_length, lower --max_pixels, or set --truncation_strategy delete to leave such rows out';
