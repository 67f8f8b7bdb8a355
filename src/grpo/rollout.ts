/**
 * A rollout: prompts of dataset rows, a group of completions sampled from each, as ids and as text.
 * What was sampled is the truth: the ids go to scoring as they are; the text is only for rewards and readers.
 */
import type { Row } from '../data/row.ts';
import type { Generator } from '../models/qwen2_5_vl/generation.ts';
import type { EncodedPrompt, Template } from '../template/template.ts';
import type { Random } from '../util/random.ts';

export interface Completion {
  /** With the stop id, if it ended by one. */
  readonly ids: Int32Array;
  /** Decoded without control tokens. */
  readonly text: string;
  /** Cut off at the length limit. */
  readonly truncated: boolean;
}

export interface RolloutGroup {
  readonly row: Row;
  readonly prompt: EncodedPrompt;
  readonly completions: readonly Completion[];
}

export interface Sampling {
  readonly numGenerations: number;
  readonly maxCompletionLength: number;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly stopIds: readonly number[];
  readonly bannedIds: readonly number[];
}

/** Samples a group of completions for each prompt. */
export async function rollout(
  prompts: readonly { readonly row: Row; readonly prompt: EncodedPrompt }[],
  sampling: Sampling,
  tools: {
    readonly generator: Generator;
    readonly template: Template;
    readonly random: Random;
    readonly signal?: AbortSignal;
  },
): Promise<RolloutGroup[]> {
  const { generator, template, random, signal } = tools;
  const generated = await generator.generate(
    prompts.map(({ prompt }) => ({ promptIds: prompt.ids, images: prompt.images })),
    {
      count: sampling.numGenerations,
      maxNewTokens: sampling.maxCompletionLength,
      temperature: sampling.temperature,
      topP: sampling.topP,
      topK: sampling.topK,
      stopIds: sampling.stopIds,
      bannedIds: sampling.bannedIds,
      random,
      signal,
    },
  );
  return prompts.map(({ row, prompt }, i) => ({
    row,
    prompt,
    completions: generated[i]!.map(({ ids, finished }) => ({
      ids,
      text: template.decode(ids, { skipSpecialTokens: true }),
      truncated: !finished,
    })),
  }));
}
