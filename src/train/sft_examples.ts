/**
 * Encodes a row with an answer for supervised training: the prompt's ids and images, and the answer's ids.
 * Knows rows and the template, not the loss.
 */
import { isEmpty, splitAnswer } from '../data/messages.ts';
import type { Row } from '../data/row.ts';
import type { Group } from '../engine/groups.ts';
import { SightlineError } from '../errors.ts';
import type { Template } from '../template/template.ts';
import type { RowFault } from './data.ts';
import { TOO_LONG_HINT } from './prompts.ts';

export interface Example {
  /** file:line of the row. */
  readonly where: string;
  /** One completion: the last assistant message. */
  readonly group: Group;
  /** Number of tokens of that completion, over which the loss is averaged. */
  readonly tokens: number;
}

/** Returns a fault if the row has no answer; null otherwise. */
export function lacksAnswer({ messages, where }: Row): RowFault | null {
  const { answer } = splitAnswer(messages);
  if (answer !== null && !isEmpty(answer)) return null;
  const error = new SightlineError('E_ROW_NO_ANSWER', 'the row has no answer to train on', {
    where,
    hint: 'end "messages" with {"role": "assistant", "content": "..."}, or set --strict false to leave such rows out',
  });
  return { reason: 'no answer', error };
}

/**
 * Encodes a row. Only the last assistant message is trained on; earlier ones are part of the prompt.
 *
 * @param maxLength maximum number of tokens of prompt and answer together
 * Errors: those of Template.encode; E_PROMPT_TOO_LONG.
 */
export async function encodeExample(template: Template, row: Row, maxLength: number): Promise<Example> {
  const { prompt, answer } = splitAnswer(row.messages);
  if (answer === null) throw new Error(`internal: ${row.where} has no answer`);
  const errors = { where: row.where, tooLongHint: TOO_LONG_HINT };
  const encoded = await template.encode(prompt, row.images, { ...errors, tools: row.tools });
  await template.refuseFarTooLong(answer, errors);
  const completion = template.encodeAnswer(answer, encoded.images, row.where);
  const length = encoded.ids.length + completion.length;
  if (length > maxLength) {
    throw new SightlineError('E_PROMPT_TOO_LONG', `the row has ${length} tokens; the limit is ${maxLength}`, {
      where: row.where,
      hint: TOO_LONG_HINT,
    });
  }
  const group = { prompt: encoded, completions: [{ ids: completion }] };
  return { where: row.where, group, tokens: completion.length };
}
