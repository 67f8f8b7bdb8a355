/**
 * The forward as transformers has it, which rewards call: whole sequences in, logits out, attention weights if they are
 * asked for and if there are any. Nothing is kept for backward.
 */
import type { AttentionTensor } from '../attention/tdr.ts';
import type { ModelConfig } from '../models/architecture.ts';
import type { ForwardOutput, ModelKwargs } from '../models/types.ts';
import type { CompiledModule } from '../runtime/compiled_module.ts';
import { type FloatTensor, floats, rows, zeros } from '../runtime/tensor.ts';
import { weightsOf } from './bindings.ts';
import { imagesOfSequences, unpadded } from './forward_inputs.ts';
import { type Group, withPositions } from './groups.ts';
import { headName } from './heads.ts';
import { type PackedBatch, packGroups } from './packed.ts';
import type { Parameters } from './parameters.ts';
import type { AttentionImplementation } from './text_attention.ts';
import type { DecoderOptions, TextDecoder } from './text_decoder.ts';

/** The parts of a model that it runs. */
export interface ForwardParts {
  readonly sizes: ModelConfig;
  readonly parameters: Parameters;
  readonly decoder: TextDecoder;
  /** `logitsHead`, compiled. */
  readonly logits: CompiledModule;
  /** Embeddings x [rows, hidden] of a batch, visual tokens in place, and what is added after layers. */
  readonly embeddings: (
    groups: readonly Group[],
    batch: PackedBatch,
  ) => Promise<{ x: FloatTensor } & Pick<DecoderOptions, 'afterLayer'>>;
}

export async function plainForward(
  { sizes, parameters, decoder, logits, embeddings }: ForwardParts,
  implementation: AttentionImplementation,
  kwargs: ModelKwargs,
): Promise<ForwardOutput> {
  const sequences = unpadded(kwargs);
  const groups = imagesOfSequences(kwargs, sequences, sizes).map(
    (images, i): Group => ({ promptIds: sequences[i]!, images, completions: [] }),
  );
  const batch = packGroups(groups.map((group) => withPositions(group, sizes)));
  const { x, afterLayer } = await embeddings(groups, batch);
  const wantsWeights = kwargs.output_attentions === true && implementation === 'eager';
  const attentions: AttentionTensor[] = [];
  const [batchSize, length] = [sequences.length, sequences[0]?.length ?? 0];
  const { numAttentionHeads: heads, vocabSize } = sizes.text;
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
  const weights = weightsOf(logits, parameters, headName(sizes.text));
  for (const [b, { prompt }] of batch.groups.entries()) {
    const own = floats(result.data.subarray(b * kept * vocabSize, (b + 1) * kept * vocabSize), [kept, vocabSize]);
    const last = rows(hidden, prompt.start + length - kept, prompt.start + length);
    await logits.forward({ ...weights, hidden: last }, { logits: own });
  }
  return { logits: result, attentions: wantsWeights ? attentions : null };
}
