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
  'numGenerations' | 'maxCompletionLength' | 'temperature' | 'topP' | 'topK'
>;

/** The settings of a training run. Error: E_COMPLETION_LENGTH. */
export function samplingOf(args: SamplingArguments, policy: SampledPolicy): Sampling {
  const { numGenerations, maxCompletionLength, temperature, topP, topK } = args;
  checkCompletionLength('max_completion_length', maxCompletionLength, policy);
  return { numGenerations, maxCompletionLength, temperature, topP, topK, ...stopsAndBans(policy) };
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

/** Ids that end a completion, and ids that are never sampled: vision tokens, and padding rows of the embedding. */
export function stopsAndBans({ modelConfig, template }: SampledPolicy): { stopIds: number[]; bannedIds: number[] } {
  const stopIds = [...new Set([...modelConfig.eosTokenIds, template.endOfTurnId])];
  const vocabulary = Array.from({ length: modelConfig.text.vocabSize }, (_, id) => id);
  const bannedIds = vocabulary.filter((id) => template.visionTokenIds.includes(id) || !template.tokenizer.has(id));
  return { stopIds, bannedIds };
}
