/**
 * The numbers per token that files of attention usually have, and what they mean. A file may have others as well.
 */

export interface Channel {
  readonly name: string;
  readonly meaning: string;
  /** Empty for a number without one. */
  readonly unit: string;
  /** Whether the sign matters, so that 0 is the middle of its colours. */
  readonly isSigned: boolean;
}

export const CHANNELS: readonly Channel[] = [
  { name: 'visual_share', meaning: 'share of the attention that is on the image', unit: '', isSigned: false },
  {
    name: 'entropy',
    meaning: 'entropy of the distribution that the token was drawn from',
    unit: 'nats',
    isSigned: false,
  },
  {
    name: 'kl',
    meaning: 'divergence from the reference, as estimated on the token (k3)',
    unit: 'nats',
    isSigned: false,
  },
  {
    name: 'logprob_difference',
    meaning: 'log-probability under the policy minus that under the reference',
    unit: 'nats',
    isSigned: true,
  },
  { name: 'advantage', meaning: 'what the token is rewarded with, relative to its group', unit: '', isSigned: true },
];

/** @param values of the channel; one that is not in the list counts as signed if it has a negative value */
export function channelOf(name: string, values: Iterable<number>): Channel {
  const known = CHANNELS.find((channel) => channel.name === name);
  return known ?? { name, meaning: '', unit: '', isSigned: [...values].some((value) => value < 0) };
}
