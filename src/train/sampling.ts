/**
 * How a run samples: the flags' settings, where completions stop, and what must never be sampled.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import { SightlineError } from '../errors.ts';
import type { Sampling } from '../grpo/rollout.ts';
import type { PreparedPolicy } from './policy.ts';

/** What sampling takes from a policy: nothing of its weights. */
type SampledPolicy = Pick<PreparedPolicy, 'modelConfig' | 'template'>;

type SamplingArguments = Pick<
  RlhfArguments,
  'numGenerations' | 'maxCompletionLength' | 'temperature' | 'topP' | 'topK'
>;

/** Error: E_COMPLETION_LENGTH. */
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
 * Refuses completions that are longer than all the model has positions for: what they need is allocated before a token
 * is sampled. Error: E_COMPLETION_LENGTH.
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
    { where: `--${flag}`, hint: `set --${flag} to at most ${positions}, less what prompts take` },
  );
}

/** Ids that end a completion, and ids that are never sampled: vision tokens, and rows of the table that no token has. */
export function stopsAndBans({ modelConfig, template }: SampledPolicy): { stopIds: number[]; bannedIds: number[] } {
  const stopIds = [...new Set([...modelConfig.eosTokenIds, template.endOfTurnId])];
  const vocabulary = Array.from({ length: modelConfig.text.vocabSize }, (_, id) => id);
  const bannedIds = vocabulary.filter((id) => template.visionTokenIds.includes(id) || !template.tokenizer.has(id));
  return { stopIds, bannedIds };
}
