/**
 * The forward as transformers has it, which rewards call: whole sequences in, logits out, and attention weights where they
 * are asked for and the implementation has them. Nothing is kept for backward.
 */
import type { AttentionTensor } from '../attention/tdr.ts';
import type { ForwardOutput, ModelKwargs } from '../models/types.ts';
import { type FloatTensor, floats, zeros } from '../runtime/tensor.ts';
import { weightsOf } from './bindings.ts';
import { imagesOfSequences, unpadded } from './forward_inputs.ts';
import { placed } from './groups.ts';
import { headName } from './heads.ts';
import { decoderInputs, type ModelParts } from './model_parts.ts';
import { packGroups } from './packed.ts';
import type { AttentionImplementation } from './text_attention.ts';

/** Error: E_FORWARD_INPUT. */
export async function plainForward(
  parts: ModelParts,
  implementation: AttentionImplementation,
  kwargs: ModelKwargs,
): Promise<ForwardOutput> {
  const { modelConfig, parameters, decoder, logits, memory } = parts;
  const sequences = unpadded(kwargs);
  const prompts = imagesOfSequences(kwargs, sequences, modelConfig).map((images, i) =>
    placed({ ids: sequences[i]!, images }, modelConfig),
  );
  const batch = packGroups(
    prompts.map((prompt) => ({ prompt, completions: [] })),
    { lastTokens: false },
  );
  const { x, afterLayer } = await decoderInputs(parts, prompts, batch, { keep: false });
  const wantsWeights = kwargs.output_attentions === true && implementation === 'eager';
  const attentions: AttentionTensor[] = [];
  const [batchSize, length] = [sequences.length, sequences[0]?.length ?? 0];
  const { numAttentionHeads: heads, vocabSize } = modelConfig.text;
  /** Weights [heads, length, length] of each sequence in a layer. */
  const joinWeights = (weights: readonly FloatTensor[]): void => {
    const data = new Float32Array(batchSize * heads * length * length);
    for (const [b, weight] of weights.entries()) data.set(weight.data, b * heads * length * length);
    attentions.push({ data, dims: [batchSize, heads, length, length] });
  };
  const { hidden } = await decoder.forward(batch, x, {
    implementation,
    keep: false,
    afterLayer,
    onWeights: wantsWeights ? (_, weights) => joinWeights(weights) : undefined,
  });
  const kept = kwargs.logits_to_keep ? Math.min(kwargs.logits_to_keep, length) : length;
  const result = zeros(batchSize, kept, vocabSize);
  const weights = weightsOf(logits, parameters, headName(modelConfig.text));
  for (const [b, { prompt }] of batch.groups.entries()) {
    const own = floats(result.data.subarray(b * kept * vocabSize, (b + 1) * kept * vocabSize), [kept, vocabSize]);
    const last = memory.device.rows(hidden, prompt.start + length - kept, prompt.start + length);
    await logits.forward({ ...weights, hidden: last }, { logits: own });
  }
  return { logits: result, attentions: wantsWeights ? attentions : null };
}
