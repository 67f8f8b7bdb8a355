/**
 * The prompt of a dataset row: what a completion is sampled for.
 * Knows conversations and the template; not what is done with prompts.
 */
import type { Message } from '../data/messages.ts';
import type { Row } from '../data/row.ts';
import type { EncodedPrompt, Template } from '../template/template.ts';

export interface PromptOfRow {
  readonly row: Row;
  readonly prompt: EncodedPrompt;
}

/** Encodes rows as prompts. Errors: those of the template's `encode`, at the row. */
export function encodePrompt(template: Template): (row: Row) => Promise<PromptOfRow> {
  return async (row) => ({
    row,
    prompt: await template.encode(withoutAnswer(row.messages), row.images, { where: row.where }),
  });
}

// --- internal ---

/** An answer at the end is what is to be sampled, so it is left out, as in ms-swift. */
function withoutAnswer(messages: readonly Message[]): readonly Message[] {
  return messages.at(-1)?.role === 'assistant' ? messages.slice(0, -1) : messages;
}
