/**
 * Sampling settings of a run: values of flags, tokens that end a completion, and tokens that are never sampled.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { SightlineError } from '../errors.ts';
import type { Sampling } from '../grpo/rollout.ts';
import type { PreparedPolicy } from './policy.ts';

/** The parts of a policy that the settings depend on. No weights are needed. */
type SampledPolicy = Pick<PreparedPolicy, 'config' | 'template'>;

type SamplingArguments = Pick<
  RlhfArguments,
  'numGenerations' | 'maxCompletionLength' | 'temperature' | 'topP' | 'topK'
>;

/** The settings of a training run. Error: E_COMPLETION_LENGTH. */
export function samplingOf(args: SamplingArguments, policy: SampledPolicy): Sampling {
  const { numGenerations, maxCompletionLength, temperature, topP, topK } = args;
  checkCompletionLength('max_completion_length', maxCompletionLength, policy);
  return { numGenerations, maxCompletionLength, temperature, topP, topK, ...stopsAndBans(policy) };
}

/**
 * Refuses completions longer than the model's number of positions, because their memory is allocated before the first token
 * is sampled.
 *
 * @param length tokens
 * Error: E_COMPLETION_LENGTH.
 */
export function checkCompletionLength(flag: string, length: number, { config }: Pick<SampledPolicy, 'config'>): void {
  const positions = config.text.maxPositionEmbeddings;
  if (length <= positions) return;
  throw new SightlineError(
    'E_COMPLETION_LENGTH',
    `${flag} is ${length}, but the model has ${positions} positions (max_position_embeddings of its config.json)`,
    { where: `--${flag}`, hint: `set --${flag} to at most ${positions} minus the length of the prompts` },
  );
}

/** Ids that end a completion, and ids that are never sampled: vision tokens, and padding rows of the embedding. */
export function stopsAndBans({ config, template }: SampledPolicy): { stopIds: number[]; bannedIds: number[] } {
  const stopIds = [...new Set([...config.eosTokenIds, template.endOfTurnId])];
  const vocabulary = Array.from({ length: config.text.vocabSize }, (_, id) => id);
  const bannedIds = vocabulary.filter((id) => template.visionTokenIds.includes(id) || !template.tokenizer.has(id));
  return { stopIds, bannedIds };
}
