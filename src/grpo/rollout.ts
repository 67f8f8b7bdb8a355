/**
 * A rollout: prompts of dataset rows, and a group of completions sampled from each, as ids and as text.
 * The sampled ids are what is scored and learned from; the text is for rewards and readers only.
 */
import type { Row } from '../data/row.ts';
import type { Generator } from '../engine/generation.ts';
import { type Group, mapCompletions, type TokenScores } from '../engine/groups.ts';
import type { SampledCompletion } from '../engine/live_rows.ts';
import type { LayerProbe, ModelTape } from '../engine/scored_groups.ts';
import { stopTest } from '../template/stop_words.ts';
import type { EncodedPrompt, Template } from '../template/template.ts';
import type { Random } from '../util/random.ts';
import type { ComparedLogps } from './visual_dependence.ts';

/** The prompt of a dataset row, as the model reads it. */
export interface RolloutPrompt extends EncodedPrompt {
  readonly row: Row;
}

/** A completion of T tokens. Its scores are there once they have been computed: while it was sampled, or by a forward. */
export interface Completion extends Partial<TokenScores> {
  /** A stop id, if one ended it, is the last of them. [T] */
  readonly ids: Int32Array;
  /** Decoded, without control tokens. */
  readonly text: string;
  /** Cut off at the length limit. */
  readonly truncated: boolean;
  /** log-probabilities as sampling computed them [T]; absent after a resume, unless learning needs them. A forward's differ from them by rounding. */
  readonly sampledLogps?: Float32Array;
  /** Log-probabilities under a changed image, if one was compared with; null where the prompt has no image. */
  readonly compared?: ComparedLogps | null;
  /** Factor of the advantage, if a reward asked for one. */
  readonly advantageScale?: number;
  /** Factors of the tokens' policy losses, if a reward asked for some. [T] */
  readonly tokenWeights?: Float32Array;
}

export type RolloutGroup = Group<RolloutPrompt, Completion>;

/** What a step samples, scores, judges and learns from. */
export interface Rollout {
  readonly groups: readonly RolloutGroup[];
  /** What backward starts from. Null where nothing was kept for it: learning then runs a forward first. */
  readonly tape: ModelTape | null;
}

export interface Sampling {
  /** Completions of each prompt. */
  readonly numGenerations: number;
  /** In tokens. */
  readonly maxCompletionLength: number;
  /** 0 takes the most likely token. */
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  /** Texts that end a completion, which keeps them. */
  readonly stopWords: readonly string[];
  /** Ids that end a completion. */
  readonly stopIds: readonly number[];
  /** Ids that are never sampled. */
  readonly bannedIds: readonly number[];
  /** Sequences of ids that a completion must not have. */
  readonly bannedSequences: readonly (readonly number[])[];
}

/** What samples, and how: the same for all rollouts of a run. */
export interface CompletionSampler {
  readonly generator: Generator;
  readonly template: Template;
  readonly sampling: Sampling;
  /** Each rollout draws from a fork of it. */
  readonly random: Random;
}

export interface RolloutOptions {
  /** Names the fork of the sampler's random numbers. */
  readonly name: string;
  /** Keep the scores, and the tape of the rows that sampling computes. */
  readonly keep?: boolean;
  /** Measure attention masses while sampling; scores are kept then, too. */
  readonly probe?: LayerProbe | undefined;
  /** Ends sampling with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of tokens each time some have been sampled. */
  readonly onTokens?: ((count: number) => void) | undefined;
}

/** Samples a group of completions for each prompt. Errors: those of the generator. */
export async function rollout(
  prompts: readonly RolloutPrompt[],
  { generator, template, sampling, random }: CompletionSampler,
  { name, keep = false, probe, signal, onTokens }: RolloutOptions,
): Promise<Rollout> {
  const { groups, tape } = await generator.generate(prompts, {
    count: sampling.numGenerations,
    maxNewTokens: sampling.maxCompletionLength,
    temperature: sampling.temperature,
    topP: sampling.topP,
    topK: sampling.topK,
    minP: sampling.minP,
    repetitionPenalty: sampling.repetitionPenalty,
    endsAfter: stopTest(sampling.stopWords, template),
    stopIds: sampling.stopIds,
    bannedIds: sampling.bannedIds,
    bannedSequences: sampling.bannedSequences,
    random: random.fork(name),
    keep,
    probe,
    signal,
    onTokens: onTokens && ((tokens) => onTokens(tokens.length)),
  });
  const completionOf = ({ ids, finished, logps }: SampledCompletion): Completion => ({
    ids,
    sampledLogps: logps,
    text: template.decode(ids, { skipSpecialTokens: true }),
    truncated: !finished,
  });
  // The sampler's scores differ from a forward's by rounding: they are left out where a forward will score the completions.
  if (!keep && probe === undefined) {
    return { groups: mapCompletions(groups, completionOf), tape: null };
  }
  const scored = mapCompletions(groups, (sampled) => {
    const { logps, entropies, masses } = sampled;
    return { ...completionOf(sampled), logps, entropies, masses };
  });
  return { groups: scored, tape };
}

/** All completions, group after group. [N] */
export const completionsOf = ({ groups }: Pick<Rollout, 'groups'>): Completion[] =>
  groups.flatMap(({ completions }) => completions);

/** Log-probabilities of completions that have been scored, group after group. [N][T_i] */
export function logpsOf({ groups }: Pick<Rollout, 'groups'>): Float32Array[] {
  return completionsOf({ groups }).map(({ logps }) => {
    if (logps === undefined) throw new Error('internal: a completion has not been scored');
    return logps;
  });
}
