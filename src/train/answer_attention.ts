/**
 * The attention of an answer on the images of its conversation, from one eager forward over prompt and answer.
 */
import { imageAttention } from '../attention/image_attention.ts';
import { imageColumns } from '../attention/spans/prompt_columns.ts';
import type { EncodedPrompt } from '../template/template.ts';
import { eagerAttentions } from './eager_attentions.ts';
import { gridsOf } from './image_grids.ts';
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
  prompt: EncodedPrompt,
  answer: Int32Array,
): Promise<AnswerAttention> {
  const attentions = await eagerAttentions(model, prompt, answer);
  const grids = gridsOf(prompt, modelConfig);
  const columnsOf = imageColumns({ ids: prompt.ids, grids }, { visual: [modelConfig.imageTokenId] });
  return {
    tokens: tokenTexts(answer, template, { skipSpecialTokens: false }),
    images: grids.map(([rows, columns], i) => ({
      rows,
      columns,
      values: imageAttention(attentions, columnsOf[i]!, prompt.ids.length, answer.length),
    })),
  };
}
