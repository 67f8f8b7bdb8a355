/**
 * Reward `iou`: how well the boxes that a completion writes cover the boxes of the row.
 * Knows what to make of two lists of boxes; knows neither how boxes are written nor how they are scaled.
 */
import { type Message, partsOf, splitAnswer } from '../../data/messages.ts';
import { answerText } from '../answer_text.ts';
import type { ORM, RewardKwargs } from '../contract.ts';
import { createNullReasons } from '../null_reasons.ts';
import { bestPairing } from './overlap.ts';
import { wantedBoxes } from './wanted_boxes.ts';
import { writtenBoxes } from './written_boxes.ts';

/**
 * Sum of the overlaps (intersection over union) of written and wanted boxes in the best one-to-one pairing, divided by the
 * greater of their numbers; logged as `rewards/IoU/mean`. For one box of each it is their intersection over union, as in
 * `iou_reward` of VLM-R1; a box that is missing and one that is too many cost the same. Names of objects are not compared.
 *
 * A completion without a box has 0. Null where the row has no usable box: the reason is told.
 */
export class IoU implements ORM {
  static readonly columns = ['objects'];
  private readonly because = createNullReasons('iou');

  call(completions: readonly string[], kwargs: RewardKwargs): (number | null)[] {
    const { images, messages, norm_bbox, logger } = kwargs;
    const objects = kwargs.objects as readonly unknown[];
    return completions.map((completion, i) => {
      if (objects[i] === undefined || objects[i] === null) return null;
      if (norm_bbox === null) {
        return this.because(logger, 'the trainer does not say in which unit the model writes boxes (--norm_bbox)');
      }
      const boxesInPrompt = countBoxes(messages[i] as readonly Message[]);
      const wanted = wantedBoxes({ objects: objects[i], boxesInPrompt, images: images[i]!, normBbox: norm_bbox });
      if ('reason' in wanted) return this.because(logger, wanted.reason, wanted.example);
      const written = writtenBoxes(answerText(completion));
      return bestPairing(written, wanted) / Math.max(written.length, wanted.length);
    });
  }
}

// --- internal ---

/** Boxes in the prompt of a conversation. */
function countBoxes(messages: readonly Message[]): number {
  const parts = splitAnswer(messages).prompt.flatMap(({ content }) => partsOf(content));
  return parts.filter(({ type }) => type === 'box').length;
}
