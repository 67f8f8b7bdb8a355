/**
 * Reward `iou`: how well the boxes in a completion match the boxes of its row.
 * Knows how two lists of boxes are compared; not how boxes are written or scaled.
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
 * larger of the two counts; logged as `rewards/IoU/mean`. For one box each, it is their intersection over union, as in
 * `iou_reward` of VLM-R1. A missing box costs as much as a superfluous one. Names of objects are not compared.
 *
 * 0 for a completion without a box. Null for a row without a usable box; the reason is logged.
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
