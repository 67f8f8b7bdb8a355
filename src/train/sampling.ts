/**
 * Sampling settings of a run: values of flags, tokens that end a completion, and tokens that are never sampled.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { SightlineError } from '../errors.ts';
import type { Sampling } from '../grpo/rollout.ts';
import type { PreparedPolicy } from './policy.ts';

/** The parts of a policy that the settings depend on. No weights are needed. */
type SampledPolicy = Pick<PreparedPolicy, 'modelConfig' | 'template'>;

type SamplingArguments = Pick<
  RlhfArguments,
  | 'numGenerations'
  | 'maxCompletionLength'
  | 'temperature'
  | 'topP'
  | 'topK'
  | 'minP'
  | 'repetitionPenalty'
  | 'stopWords'
  | 'badWords'
>;

/** The settings of a training run. Error: E_COMPLETION_LENGTH. */
export function samplingOf(args: SamplingArguments, policy: SampledPolicy): Sampling {
  const { numGenerations, maxCompletionLength, temperature, topP, topK, minP, repetitionPenalty, stopWords } = args;
  checkCompletionLength('max_completion_length', maxCompletionLength, policy);
  return {
    ...{ numGenerations, maxCompletionLength, temperature, topP, topK, minP, repetitionPenalty, stopWords },
    ...stopsAndBans(policy, args.badWords),
  };
}

/** How evaluations sample. Error: E_COMPLETION_LENGTH. */
export function evaluationSampling(args: RlhfArguments, policy: SampledPolicy): Sampling {
  return samplingOf({ ...args, temperature: args.evalTemperature, numGenerations: args.numGenerationsEval }, policy);
}

/**
 * Refuses completions longer than the model's number of positions, because their memory is allocated before the first token
 * is sampled.
 *
 * @param length tokens
 * Error: E_COMPLETION_LENGTH.
 */
export function checkCompletionLength(
  flag: string,
  length: number,
  { modelConfig }: Pick<SampledPolicy, 'modelConfig'>,
): void {
  const positions = modelConfig.text.maxPositionEmbeddings;
  if (length <= positions) return;
  throw new SightlineError(
    'E_COMPLETION_LENGTH',
    `${flag} is ${length}, but the model has ${positions} positions (max_position_embeddings of its config.json)`,
    { where: `--${flag}`, hint: `set --${flag} to at most ${positions} minus the length of the prompts` },
  );
}

/**
 * Ids that end a completion, and ids that are never sampled: vision tokens, padding rows of the embedding, and bad words.
 * Error: E_BAD_WORD.
 */
export function stopsAndBans(
  { modelConfig, template }: SampledPolicy,
  badWords: readonly string[],
): { stopIds: number[]; bannedIds: number[] } {
  const stopIds = [...new Set([...modelConfig.eosTokenIds, template.endOfTurnId])];
  const vocabulary = Array.from({ length: modelConfig.text.vocabSize }, (_, id) => id);
  const bad = new Set(badWords.flatMap((word) => idsOfWord(word, template)));
  const bannedIds = vocabulary.filter(
    (id) => template.visionTokenIds.includes(id) || !template.tokenizer.has(id) || bad.has(id),
  );
  return { stopIds, bannedIds };
}

// --- internal ---

/** The token of a word, and of the word after a space. Only a word that is one token can be kept from being sampled. */
function idsOfWord(word: string, { tokenizer }: SampledPolicy['template']): number[] {
  return [word, ` ${word}`].map((text) => {
    const ids = tokenizer.encodeText(text);
    if (ids.length === 1) return ids[0]!;
    throw new SightlineError('E_BAD_WORD', `${JSON.stringify(text)} is ${ids.length} tokens, expected one`, {
      where: '--bad_words',
      hint: 'name words that are one token each, also after a space; or write a reward that punishes the word',
    });
  });
}
