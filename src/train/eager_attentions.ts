/**
 * The attention weights of one sequence, from an eager forward.
 */
import { eagerForward } from '../attention/eager_forward.ts';
import type { AttentionTensor } from '../attention/tdr.ts';
import { SightlineError } from '../errors.ts';
import type { ForwardOutput, ModelKwargs, PolicyModel } from '../models/types.ts';
import { PLAIN_TEMPLATE } from '../rewards/plain_template.ts';
import type { EncodedPrompt } from '../template/template.ts';

/**
 * One tensor (1, H, S, S) per layer, over prompt and answer. Errors: E_NO_ATTENTION if the forward returns no weights; those of the
 * forward.
 */
export async function eagerAttentions(
  model: PolicyModel,
  { ids, images }: Pick<EncodedPrompt, 'ids' | 'images'>,
  answer: Int32Array,
): Promise<readonly AttentionTensor[]> {
  const { attentions } = await eagerForward<ModelKwargs, ForwardOutput, PolicyModel>(
    model,
    {
      input_ids: [Int32Array.from([...ids, ...answer])],
      pixel_values: images.map(({ pixelValues }) => pixelValues),
      image_grid_thw: images.map(({ gridThw }) => gridThw),
      output_attentions: true,
      logits_to_keep: 1,
    },
    { template: PLAIN_TEMPLATE },
  );
  if (attentions !== null && attentions.length > 0) return attentions;
  throw new SightlineError('E_NO_ATTENTION', 'the eager forward returned no attention weights');
}
