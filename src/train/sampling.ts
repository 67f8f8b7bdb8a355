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
 * Ids that end a completion, and what is never sampled: vision tokens, padding rows of the embedding, and bad words. A bad word
 * of several tokens is a sequence.
 *
 * Error: E_BAD_WORD.
 */
export function stopsAndBans(
  { modelConfig, template }: SampledPolicy,
  badWords: readonly string[],
): Pick<Sampling, 'stopIds' | 'bannedIds' | 'bannedSequences'> {
  const stopIds = [...new Set([...modelConfig.eosTokenIds, template.endOfTurnId])];
  const vocabulary = Array.from({ length: modelConfig.text.vocabSize }, (_, id) => id);
  const words = badWords.flatMap((word) => spellingsOf(word, template));
  const bad = new Set(words.flatMap((ids) => (ids.length === 1 ? ids : [])));
  const bannedIds = vocabulary.filter(
    (id) => template.visionTokenIds.includes(id) || !template.tokenizer.has(id) || bad.has(id),
  );
  return { stopIds, bannedIds, bannedSequences: words.filter((ids) => ids.length > 1) };
}

// --- internal ---

/**
 * The ids of a word alone and of the word after a space, as vLLM spells `bad_words`. Unlike vLLM, it bans the second spelling
 * also where it has another number of tokens than the first.
 */
function spellingsOf(word: string, { tokenizer }: SampledPolicy['template']): number[][] {
  const bare = word.trimStart();
  if (bare === '') {
    throw new SightlineError('E_BAD_WORD', `${JSON.stringify(word)} is no word`, {
      where: '--bad_words',
      hint: 'name words, or leave the flag out',
    });
  }
  return [bare, ` ${bare}`].map((text) => [...tokenizer.encodeText(text)]);
}
