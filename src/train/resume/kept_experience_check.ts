/**
 * Checks that rollouts in a checkpoint, from which later steps learn again, have what the flags of the resumed run compare with.
 * A flag that is new since then would otherwise be found out in the middle of a step, or have no effect on them.
 */
import type { RlhfArguments } from '../../arguments/resolve.ts';
import { SightlineError } from '../../errors.ts';
import { comparedImage } from '../image_changes.ts';
import type { ExperienceState } from './experience_state.ts';

/**
 * @param kept experience of the checkpoint in `dir`
 * Error: E_RESUME_ARGUMENTS, which names the flag.
 */
export function checkKeptExperience(dir: string, kept: readonly ExperienceState[], args: RlhfArguments): void {
  const completions = kept.flatMap(({ groups }) => groups.flatMap((group) => group.completions));
  const lacking: readonly (readonly [flag: string, value: unknown, what: string, lacks: boolean])[] = [
    [
      'rollout_importance_sampling_mode',
      args.rolloutImportanceSamplingMode,
      'the log-probabilities of sampling',
      args.rolloutImportanceSamplingMode !== null && completions.some(({ sampledLogps }) => sampledLogps === undefined),
    ],
    [
      'top_entropy_quantile',
      args.topEntropyQuantile,
      'entropies',
      args.topEntropyQuantile < 1 && completions.some(({ entropies }) => entropies === undefined),
    ],
    [
      'beta',
      args.beta,
      'log-probabilities under a reference',
      args.beta !== 0 && kept.some(({ refLogps }) => refLogps === null),
    ],
    [
      'perception_image',
      args.perceptionImage,
      'log-probabilities under a changed image',
      comparedImage(args) !== null && kept.some(({ changedLogps }) => changedLogps === null),
    ],
  ];
  const found = lacking.find(([, , , lacks]) => lacks);
  if (found === undefined) return;
  const [flag, value, what] = found;
  throw new SightlineError(
    'E_RESUME_ARGUMENTS',
    `the checkpoint holds completions that are learned from again, without ${what}, which --${flag} ${value} needs`,
    {
      where: dir,
      hint: 'give the flags of the run, or resume from a checkpoint at the end of a rollout (see --num_iterations and --steps_per_generation)',
    },
  );
}
