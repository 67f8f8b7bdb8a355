/**
 * Reward `visual_decline`: whether a completion looks at the image less and less. Knows masses; not how they are measured.
 *
 * Long answers drift from the image to their own words (More Thinking, Less Seeing?, arXiv 2505.21523). The formula is this program's.
 */
import { averageOf, overLayers } from '../../attention/spans/averages.ts';
import type { ORM, RewardKwargs, RewardSignal } from '../contract.ts';
import { attention, attentionOf } from '../needs.ts';
import { createNullReasons } from '../null_reasons.ts';

const NEED = attention({ spans: ['image'] });

const SIGNAL = { column: 'visual_change', metric: 'attention/visual_change' } as const satisfies RewardSignal;

/**
 * (late - early) / (late + early), with the mean attention on the image in the first and in the second half of the tokens (the middle
 * one of an odd number left out): below 0 where it declines, from -1 to 1. Logged as `rewards/VisualDecline/mean`. Null without an
 * image, and with fewer than two tokens.
 */
export class VisualDecline implements ORM {
  static readonly needs = [NEED];
  static readonly signals: readonly RewardSignal[] = [SIGNAL];
  private readonly because = createNullReasons('visual_decline');

  call(_completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const changes = attentionOf(NEED, kwargs).map(({ masses: { image }, reasons }) => {
      if (!image) return this.because(kwargs.logger, reasons.image ?? 'the prompt has no image');
      const change = changeAlong(overLayers(image));
      return change ?? this.because(kwargs.logger, 'the completion has fewer than two tokens');
    });
    kwargs.log_extra(SIGNAL.column, changes);
    return changes;
  }
}

/** (late - early) / (late + early) of the halves' means; null with fewer than two values. 0 if both are 0. */
export function changeAlong(values: Float64Array): number | null {
  const half = Math.floor(values.length / 2);
  if (half === 0) return null;
  const early = averageOf(values.subarray(0, half))!;
  const late = averageOf(values.subarray(values.length - half))!;
  return late + early === 0 ? 0 : (late - early) / (late + early);
}
