/**
 * Encodes a row with a completion for scoring. The completion is the row's `completion_ids`, else its last assistant message.
 * Knows rows and the template, not the model's numbers.
 */
import { splitAnswer } from '../data/messages.ts';
import type { Row } from '../data/row.ts';
import type { Prompt } from '../engine/groups.ts';
import { SightlineError } from '../errors.ts';
import type { ModelConfig } from '../models/architecture.ts';
import type { EncodedPrompt, Template } from '../template/template.ts';
import type { RowFault } from './data.ts';

/** A prompt with one completion to score. */
export interface ScoreSample {
  readonly index: number;
  readonly where: string;
  readonly prompt: Prompt & Pick<EncodedPrompt, 'systemPrefix'>;
  /** Ids of the completion. */
  readonly completion: Int32Array;
}

/** Returns a fault if a row has no valid completion; null otherwise. */
export function lacksCompletion({ messages, columns, where }: Row, modelConfig: ModelConfig): RowFault | null {
  if (columns.completion_ids !== undefined && columns.completion_ids !== null) {
    try {
      completionIds(columns.completion_ids, where, modelConfig);
      return null;
    } catch (error) {
      if (error instanceof SightlineError) return { reason: 'wrong completion_ids', error };
      throw error;
    }
  }
  if (splitAnswer(messages).answer !== null) return null;
  const error = new SightlineError('E_ROW_NO_COMPLETION', 'the row has no completion to score', {
    where,
    hint: 'give "completion_ids", or end "messages" with an assistant message',
  });
  return { reason: 'no completion', error };
}

/** Encodes a row. Errors: those of Template.encode; E_COMPLETION_IDS, E_PROMPT_TOO_LONG. */
export async function sampleOf(row: Row, template: Template, modelConfig: ModelConfig): Promise<ScoreSample> {
  const { index, where, columns } = row;
  const { prompt: asked, answer } = splitAnswer(row.messages);
  const prompt = await template.encode(asked, row.images, { where, tools: row.tools });
  const given = columns.completion_ids ?? null;
  const completion =
    given !== null || answer === null
      ? completionIds(given, where, modelConfig)
      : template.encodeAnswer(answer, prompt.images, where);
  const limit = modelConfig.text.maxPositionEmbeddings;
  const tokens = prompt.ids.length + completion.length;
  if (tokens > limit) {
    throw new SightlineError(
      'E_PROMPT_TOO_LONG',
      `prompt and completion have ${tokens} tokens; the limit of the model is ${limit}`,
      { where, hint: 'lower --max_pixels, or remove the row' },
    );
  }
  return { index, where, prompt, completion };
}

// --- internal ---

function completionIds(value: unknown, where: string, modelConfig: ModelConfig): Int32Array {
  const bad = (found: string): SightlineError =>
    new SightlineError('E_COMPLETION_IDS', `"completion_ids" ${found}`, {
      where,
      hint: `give a list of token ids below ${modelConfig.text.vocabSize}, without image and video pads`,
    });
  if (!Array.isArray(value)) throw bad(`is ${typeof value}, expected a list of token ids`);
  return Int32Array.from(value, (id: unknown, i) => {
    const isId = typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < modelConfig.text.vocabSize;
    if (!isId) throw bad(`has ${JSON.stringify(id)} at position ${i}`);
    if (id === modelConfig.imageTokenId || id === modelConfig.videoTokenId)
      throw bad(`has the pad ${id} at position ${i}`);
    return id;
  });
}
