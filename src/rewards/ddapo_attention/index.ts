/**
 * Reward `ddapo_attention`: rewards completions that attend to the picture, not only to the words of the prompt.
 * Knows how a completion's ratio becomes a reward and what is logged; knows nothing about advantages or losses.
 *
 * The text-dominance ratio of the completion,
 *   TDR = (attention per text column of the prompt) / (attention per visual column),
 * becomes the reward in one of three forms; forms.ts has them and says what to expect of each.
 */
import { isTdr, type TdrResult, tdrSpans } from '../../attention/tdr.ts';
import type { ORM, RewardArgs, RewardFlag, RewardKwargs, RewardSignal } from '../contract.ts';
import { FORM_FLAGS, type Form, formOf, rewardsOfRatios } from './forms.ts';
import { createRatios, type Ratios } from './ratios.ts';

/** Logged as attention/tdr_mean and attention/tdr_std, and attention/corr_tdr_NAME for every other reward. */
const SIGNAL = {
  column: 'tdr',
  metric: 'attention/tdr',
  watch: { pays: 'low', turned: 'completions that look at the picture less now score better' },
} as const satisfies RewardSignal;

/** The DDAPO reward of the ms-swift fork; logged as `rewards/DDAPOAttentionORM/mean`. */
export class DDAPOAttentionORM implements ORM {
  /** Makes the trainer measure attention masses in its own forward. */
  static readonly needs = ['attention'] as const;
  static readonly flags: Readonly<Record<string, RewardFlag>> = FORM_FLAGS;
  static readonly signals: readonly RewardSignal[] = [SIGNAL];
  /** The debug lines describe the first sample of the run only. */
  static _debugDone = false;

  private readonly form: Form;
  private readonly ratios: Ratios;
  private readonly reported = new Set<string>();

  constructor(args: RewardArgs = {}) {
    this.form = formOf(args);
    this.ratios = createRatios({
      once: (topic, say) => this.once(topic, say),
      debugOnce: (write) => this.debugOnce(write),
    });
  }

  async call(completions: readonly string[], kwargs: RewardKwargs): Promise<(number | null)[]> {
    const visualIds = [kwargs.image_token_id, kwargs.video_token_id];
    const spans = completions.map((_, i) =>
      tdrSpans(kwargs.prompt_ids[i]!, kwargs.system_prefix[i]!, kwargs.completion_ids[i]!.length, visualIds),
    );
    const results = await this.ratios(spans, kwargs);
    this.report(results, kwargs);
    const ratios = results.map((result) => (isTdr(result) ? result.tdr : null));
    return this.rewardsOf(ratios, kwargs.num_generations);
  }

  /** Rewards for the ratios of a batch, in consecutive groups; null where there is no ratio. A subclass may override this. */
  protected rewardsOf(ratios: readonly (number | null)[], groupSize: number): (number | null)[] {
    return rewardsOfRatios(ratios, groupSize, this.form);
  }

  private report(results: readonly TdrResult[], kwargs: RewardKwargs): void {
    let undefinedCount = 0;
    for (const result of results) {
      if (isTdr(result)) continue;
      undefinedCount++;
      this.once(result.undefined, () =>
        kwargs.logger.info(
          `DDAPOAttentionORM: a sample has no ratio (${result.undefined}); its reward is null. attention/undefined_frac counts them.`,
        ),
      );
    }
    kwargs.log_metric('attention/undefined_frac', results.length === 0 ? 0 : undefinedCount / results.length);
    kwargs.log_extra(
      SIGNAL.column,
      results.map((result) => (isTdr(result) ? result.tdr : null)),
    );
    if (this.form.groupNorm) {
      this.once('group_norm', () =>
        kwargs.logger.info(
          'DDAPOAttentionORM: group-normalised form: the mean is 0 in every group by construction, so rewards/DDAPOAttentionORM/mean reads 0 although all is well. Watch attention/tdr_mean.',
        ),
      );
    }
  }

  private once(topic: string, say: () => void): void {
    if (this.reported.has(topic)) return;
    this.reported.add(topic);
    say();
  }

  private debugOnce(write: () => void): boolean {
    const own = this.constructor as typeof DDAPOAttentionORM; // a subclass is a reward of its own
    if (own._debugDone) return false;
    own._debugDone = true;
    write();
    return true;
  }
}
