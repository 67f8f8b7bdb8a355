/**
 * A rollout: prompts of dataset rows, a group of completions sampled from each, as ids and as text.
 * What was sampled is the truth: the ids go to scoring as they are; the text is only for rewards and readers.
 */
import type { Row } from '../data/row.ts';
import type { Generated, GenerateOptions, Generator } from '../engine/generation.ts';
import type { Prompt } from '../engine/groups.ts';
import type { LayerProbe, Scored } from '../engine/model.ts';
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

export interface RolloutTools {
  readonly generator: Generator;
  readonly template: Template;
  readonly random: Random;
  readonly signal?: AbortSignal;
  /** Called with the number of tokens each time some have been sampled. */
  readonly onTokens?: (count: number) => void;
}

type PromptOfRow = Pick<RolloutGroup, 'row' | 'prompt'>;

/** Samples a group of completions for each prompt. */
export async function rollout(
  prompts: readonly PromptOfRow[],
  sampling: Sampling,
  tools: RolloutTools,
): Promise<RolloutGroup[]> {
  const generated = await tools.generator.generate(prompts.map(toPrompt), generateOptions(sampling, tools));
  return toGroups(prompts, generated, tools.template);
}

/** The same, scored by the rows that sampling has computed, ready for backward: see `Generator.generateAndScore`. */
export async function scoredRollout(
  prompts: readonly PromptOfRow[],
  sampling: Sampling,
  tools: RolloutTools,
  probe?: LayerProbe,
): Promise<{ groups: RolloutGroup[]; scored: Scored }> {
  const options = generateOptions(sampling, tools);
  const { generated, scored } = await tools.generator.generateAndScore(prompts.map(toPrompt), options, probe);
  return { groups: toGroups(prompts, generated, tools.template), scored };
}

/** Like `rollout`; attention is measured while it samples, for who learns nothing from it. */
export async function measuredRollout(
  prompts: readonly PromptOfRow[],
  sampling: Sampling,
  tools: RolloutTools,
  probe: LayerProbe,
): Promise<{ groups: RolloutGroup[]; completions: Scored['completions'] }> {
  const options = generateOptions(sampling, tools);
  const { generated, completions } = await tools.generator.generateAndMeasure(prompts.map(toPrompt), options, probe);
  return { groups: toGroups(prompts, generated, tools.template), completions };
}

// --- internal ---

const toPrompt = ({ prompt }: PromptOfRow): Prompt => ({ promptIds: prompt.ids, images: prompt.images });

const generateOptions = (sampling: Sampling, { random, signal, onTokens }: RolloutTools): GenerateOptions => ({
  count: sampling.numGenerations,
  maxNewTokens: sampling.maxCompletionLength,
  temperature: sampling.temperature,
  topP: sampling.topP,
  topK: sampling.topK,
  stopIds: sampling.stopIds,
  bannedIds: sampling.bannedIds,
  random,
  signal,
  onTokens: onTokens && ((tokens) => onTokens(tokens.length)),
});

const toGroups = (
  prompts: readonly PromptOfRow[],
  generated: readonly Generated[][],
  template: Template,
): RolloutGroup[] =>
  prompts.map(({ row, prompt }, i) => ({
    row,
    prompt,
    completions: generated[i]!.map(({ ids, finished }) => ({
      ids,
      text: template.decode(ids, { skipSpecialTokens: true }),
      truncated: !finished,
    })),
  }));
