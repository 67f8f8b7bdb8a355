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
  /** As the generator has them: what backward needs, and attention masses. */
  readonly keep?: boolean;
  readonly probe?: LayerProbe | undefined;
  readonly signal?: AbortSignal;
  /** Called with the number of tokens each time some have been sampled. */
  readonly onTokens?: (count: number) => void;
}

type PromptOfRow = Pick<RolloutGroup, 'row' | 'prompt'>;

/** Groups of completions, and their scores by the rows that sampling has computed. */
export interface Rollout extends Scored {
  readonly groups: RolloutGroup[];
}

/** Samples a group of completions for each prompt; `keep` and `probe` of the tools say what is kept besides text. */
export async function rollout(
  prompts: readonly PromptOfRow[],
  sampling: Sampling,
  tools: RolloutTools,
): Promise<Rollout> {
  const generated = await tools.generator.generate(prompts.map(toPrompt), generateOptions(sampling, tools));
  return { groups: toGroups(prompts, generated, tools.template), ...generated };
}

// --- internal ---

const toPrompt = ({ prompt }: PromptOfRow): Prompt => ({ promptIds: prompt.ids, images: prompt.images });

const generateOptions = (
  sampling: Sampling,
  { random, keep, probe, signal, onTokens }: RolloutTools,
): GenerateOptions => ({
  count: sampling.numGenerations,
  maxNewTokens: sampling.maxCompletionLength,
  temperature: sampling.temperature,
  topP: sampling.topP,
  topK: sampling.topK,
  stopIds: sampling.stopIds,
  bannedIds: sampling.bannedIds,
  random,
  keep,
  probe,
  signal,
  onTokens: onTokens && ((tokens) => onTokens(tokens.length)),
});

const toGroups = (prompts: readonly PromptOfRow[], generated: Generated, template: Template): RolloutGroup[] =>
  prompts.map(({ row, prompt }, i) => ({
    row,
    prompt,
    completions: generated.completions[i]!.map(({ ids, finished }) => ({
      ids,
      text: template.decode(ids, { skipSpecialTokens: true }),
      truncated: !finished,
    })),
  }));
