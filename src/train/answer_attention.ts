/**
 * The attention of an answer on the images of its conversation, from one eager forward over prompt and answer.
 */
import { eagerForward } from '../attention/eager_forward.ts';
import { imageAttention } from '../attention/image_attention.ts';
import { SightlineError } from '../errors.ts';
import type { ForwardOutput, ModelKwargs, PolicyModel } from '../models/types.ts';
import type { EncodedPrompt } from '../template/template.ts';
import type { Policy } from './policy.ts';
import { tokenTexts } from './token_texts.ts';

/** Attention on one image. */
export interface ImageAttention {
  /** Visual tokens from top to bottom, and from left to right. */
  readonly rows: number;
  readonly columns: number;
  /** [tokens of the answer, rows * columns]; a row sums up to the share of attention that the image gets. */
  readonly values: Float32Array;
}

export interface AnswerAttention {
  /** Texts of the answer's tokens. Bytes of a character that several tokens share belong to the last of them. */
  readonly tokens: readonly string[];
  /** In the order of the images. */
  readonly images: readonly ImageAttention[];
}

/** Errors: E_NO_ATTENTION if the forward returns no weights; those of the forward. */
export async function answerAttention(
  { model, modelConfig, template }: Pick<Policy, 'model' | 'modelConfig' | 'template'>,
  { ids: promptIds, images }: EncodedPrompt,
  answer: Int32Array,
): Promise<AnswerAttention> {
  const ids = Int32Array.from([...promptIds, ...answer]);
  const outputs = await eagerForward<ModelKwargs, ForwardOutput, PolicyModel>(
    model,
    {
      input_ids: [ids],
      pixel_values: images.map(({ pixelValues }) => pixelValues),
      image_grid_thw: images.map(({ gridThw }) => gridThw),
      output_attentions: true,
      logits_to_keep: 1,
    },
    { template: { forward_context: () => ({ enter: () => undefined, exit: () => undefined }) } },
  );
  const { attentions } = outputs;
  if (attentions === null || attentions.length === 0) {
    throw new SightlineError('E_NO_ATTENTION', 'the eager forward returned no attention weights');
  }
  const merge = modelConfig.vision.spatialMergeSize;
  let from = 0;
  const visual = [...promptIds.keys()].filter((column) => promptIds[column] === modelConfig.imageTokenId);
  return {
    tokens: tokenTexts(answer, template, { skipSpecialTokens: false }),
    images: images.map(({ gridThw: [frames, height, width] }) => {
      const [rows, columns] = [(frames * height) / merge, width / merge];
      const own = visual.slice(from, from + rows * columns);
      from += own.length;
      return { rows, columns, values: imageAttention(attentions, own, promptIds.length, answer.length) };
    }),
  };
}
