/**
 * Defaults and checks of the objective's flags that depend on each other, as in ms-swift's rlhf_args.py.
 */
import type { Faults } from './faults.ts';
import type { Values } from './flag.ts';
import type { rlhfFlags } from './rlhf.ts';

type Objective = Pick<
  Values<typeof rlhfFlags>,
  | 'beta'
  | 'epsilon'
  | 'epsilonHigh'
  | 'scaleRewards'
  | 'klInReward'
  | 'advantageEstimator'
  | 'syncRefModel'
  | 'tunerType'
>;

export interface ResolvedObjective {
  readonly beta: number;
  readonly epsilonHigh: number;
  readonly scaleRewards: 'group' | 'batch' | 'none' | 'gdpo';
  readonly klInReward: boolean;
}

/** What an estimator scales by if --scale_rewards is not given. */
const SCALES = { grpo: 'group', rloo: 'none', reinforce_plus_plus: 'batch' } as const;

export function resolveObjective(values: Objective): ResolvedObjective {
  const { advantageEstimator } = values;
  return {
    beta: values.beta ?? 0.04,
    epsilonHigh: values.epsilonHigh ?? values.epsilon,
    scaleRewards: values.scaleRewards ?? SCALES[advantageEstimator],
    klInReward: values.klInReward ?? advantageEstimator !== 'grpo',
  };
}

export function checkObjective(values: Objective, faults: Faults): void {
  const isGdpo = values.scaleRewards === 'gdpo';
  faults.check(
    ['scale_rewards', 'advantage_estimator'],
    !isGdpo || values.advantageEstimator === 'grpo',
    `gdpo has a baseline of its own, which replaces that of --advantage_estimator ${values.advantageEstimator}`,
    'keep one of the two',
  );
  faults.check(
    ['scale_rewards', 'kl_in_reward'],
    !isGdpo || values.klInReward !== true,
    'gdpo scales every reward by itself, and --kl_in_reward true changes only their sum',
    'leave out --kl_in_reward: the KL divergence is then a term of the loss',
  );
  faults.check(
    ['sync_ref_model', 'tuner_type'],
    !values.syncRefModel || values.tunerType === 'full',
    'with an adapter, the reference is the model without it, which cannot follow the policy',
    'leave it out, or set --tuner_type full',
  );
  faults.check(
    ['sync_ref_model', 'beta'],
    !values.syncRefModel || values.beta !== 0,
    'with --beta 0 there is no reference model',
    'leave one of the two out',
  );
}
