/**
 * Reward `region_attention`: how much of a completion's attention on the image lies in the boxes of its row.
 * Knows masses; not how boxes become visual tokens.
 *
 * The region reward of SAYO (arXiv 2602.08241) pays for attention inside the annotated box at tokens of high entropy; here all tokens count,
 * and the share of the image's attention is taken, so that an answer gains nothing by looking at the whole image more.
 */
import { region } from '../../attention/spans/span.ts';
import type { ORM, RewardKwargs, RewardSignal } from '../contract.ts';
import { attention, attentionOf } from '../needs.ts';
import { createNullReasons } from '../null_reasons.ts';

const NEED = attention({ spans: ['image', region('objects')] });

const SIGNAL = { column: 'region_share', metric: 'attention/region_share' } as const satisfies RewardSignal;

/**
 * Mean over layers and tokens of (attention on the region) / (attention on the image), from 0 to 1; logged as
 * `rewards/RegionAttention/mean`. Null for a row without boxes, and for an empty completion.
 */
export class RegionAttention implements ORM {
  static readonly needs = [NEED];
  static readonly signals: readonly RewardSignal[] = [SIGNAL];
  private readonly because = createNullReasons('region_attention');

  call(_completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const shares = attentionOf(NEED, kwargs).map(({ masses, reasons }) => {
      const { image, 'region objects': box } = masses;
      if (!image || !box) return this.because(kwargs.logger, Object.values(reasons)[0] ?? 'a span is missing');
      let [sum, count] = [0, 0];
      for (const [layer, onImage] of image.entries()) {
        for (const [t, mass] of onImage.entries()) {
          if (mass > 0) sum += box[layer]![t]! / mass;
          count++;
        }
      }
      return count === 0 ? this.because(kwargs.logger, 'the completion is empty') : sum / count;
    });
    kwargs.log_extra(SIGNAL.column, shares);
    return shares;
  }
}
