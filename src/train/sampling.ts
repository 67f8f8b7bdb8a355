/**
 * How a run samples: the flags' settings, where completions stop, and what must never be sampled.
 */
import type { RlhfArguments } from '../arguments/resolve.ts';
import type { Sampling } from '../grpo/rollout.ts';
import type { Policy } from './policy.ts';

type SamplingArguments = Pick<
  RlhfArguments,
  'numGenerations' | 'maxCompletionLength' | 'temperature' | 'topP' | 'topK'
>;

export function samplingOf(args: SamplingArguments, policy: Policy): Sampling {
  const { numGenerations, maxCompletionLength, temperature, topP, topK } = args;
  return { numGenerations, maxCompletionLength, temperature, topP, topK, ...stopsAndBans(policy) };
}

/** Ids that end a completion, and ids that are never sampled: vision tokens, and rows of the table that no token has. */
export function stopsAndBans({ config, template }: Policy): { stopIds: number[]; bannedIds: number[] } {
  const stopIds = [...new Set([...config.eosTokenIds, template.endOfTurnId])];
  const vocabulary = Array.from({ length: config.text.vocabSize }, (_, id) => id);
  const bannedIds = vocabulary.filter((id) => template.visionTokenIds.includes(id) || !template.tokenizer.has(id));
  return { stopIds, bannedIds };
}
