/**
 * The prompt of a dataset row: what a completion is sampled for.
 * Knows conversations and the template; not what is done with prompts.
 */
import { splitAnswer } from '../data/messages.ts';
import type { Row } from '../data/row.ts';
import type { EncodedPrompt, Template } from '../template/template.ts';

export interface PromptOfRow {
  readonly row: Row;
  readonly prompt: EncodedPrompt;
}

/**
 * Encodes rows as prompts. An answer at the end of a row is what is to be sampled, so it is left out, as in ms-swift.
 * Errors: those of the template's `encode`, at the row.
 */
export function encodePrompt(template: Template): (row: Row) => Promise<PromptOfRow> {
  return async (row) => ({
    row,
    prompt: await template.encode(splitAnswer(row.messages).prompt, row.images, {
      where: row.where,
      tools: row.tools,
      tooLongHint: TOO_LONG_HINT,
    }),
  });
}

/** What can be done about a row of a training run that is too long. */
export const TOO_LONG_HINT =
  'raise --max_length, lower --max_pixels, or set --truncation_strategy delete to leave such rows out';
