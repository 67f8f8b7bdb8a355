/**
 * The parts that every way of running a model works with: weights, compiled modules, the buffers that these share, and
 * the rows that enter the decoder.
 */
import type { ModelConfig } from '../models/architecture.ts';
import { EMBEDDING, partOf } from '../models/names.ts';
import type { CompiledModule } from '../runtime/compiled_module.ts';
import type { Device } from '../runtime/device.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { tableOf } from './bindings.ts';
import type { Dropout } from './dropout.ts';
import { addDeepstack, embed, type VisualInputs } from './embeddings.ts';
import type { Prompt } from './groups.ts';
import { headName, logitsHead, ROWS } from './heads.ts';
import { createImageFeatures, type EncodedImages, type ImageFeatures } from './image_features.ts';
import { createLayerModules } from './layer_modules.ts';
import type { PackedBatch } from './packed.ts';
import { bytesOf, type Parameters } from './parameters.ts';
import { createScoringHead, type ScoringHead } from './scoring.ts';
import { createTextDecoder, type DecoderOptions, type TextDecoder } from './text_decoder.ts';
import { createVisionTower, type VisionTower } from './vision_tower.ts';
import { createWorkingMemory, type WorkingMemory } from './working_memory.ts';

export interface ModelParts {
  readonly modelConfig: ModelConfig;
  readonly parameters: Parameters;
  readonly memory: WorkingMemory;
  readonly vision: VisionTower;
  readonly images: ImageFeatures;
  readonly decoder: TextDecoder;
  /** Number of decoder layers, from the first, after which the vision tower adds to the stream. */
  readonly deepstackLayers: number;
  readonly scoring: ScoringHead;
  /** `logitsHead`, compiled. */
  readonly logits: CompiledModule;
}

/** @param images visual tokens of another model with the same vision tower; default: the model's own */
export function createModelParts(
  modelConfig: ModelConfig,
  parameters: Parameters,
  device: Device,
  images?: ImageFeatures,
): ModelParts {
  const { text } = modelConfig;
  const memory = createWorkingMemory(device);
  const vision = createVisionTower(modelConfig, parameters, memory);
  const towerIsTrained = parameters.trained.some((name) => partOf(name) !== 'llm');
  return {
    modelConfig,
    parameters,
    memory,
    vision,
    images: images ?? createImageFeatures(vision, towerIsTrained, imageBudget(parameters)),
    decoder: createTextDecoder(modelConfig, parameters, memory),
    deepstackLayers: modelConfig.architecture.vision(modelConfig).deepstack.length,
    scoring: createScoringHead(modelConfig.text, parameters, memory),
    logits: createLayerModules(logitsHead(text), ROWS, parameters, memory.scratch, {}, device).of(headName(text)),
  };
}

/** What enters the decoder, and what backward needs to know of it. */
export interface DecoderInputs extends Required<Pick<DecoderOptions, 'afterLayer'>> {
  /** Embeddings, with visual tokens in place of image pads: [rows, hidden]. */
  readonly x: Tensor;
  readonly visual: VisualInputs;
  readonly images: EncodedImages;
}

/**
 * Embeds a batch and encodes its images.
 *
 * @param prompts of the batch's groups, in order
 * @param options.keep keep what backward needs of the vision tower
 * @param options.dropout of the inputs of the vision tower's adapters
 * @param options.into memory for the embeddings; default a buffer that the next call overwrites
 */
export async function decoderInputs(
  { modelConfig, parameters, memory, images, deepstackLayers }: ModelParts,
  prompts: readonly Prompt[],
  batch: PackedBatch,
  {
    keep,
    into,
    dropout = null,
  }: { readonly keep: boolean; readonly into?: Tensor | undefined; readonly dropout?: Dropout | null | undefined },
): Promise<DecoderInputs> {
  const encoded = await images.encode(
    prompts.flatMap((prompt) => prompt.images),
    keep,
    dropout,
  );
  const visual: VisualInputs = {
    imagesOfGroup: prompts.map((prompt) => prompt.images.map(({ hash }) => hash)),
    tokens: encoded.tokens,
  };
  const name = keep ? 'taped embeddings' : 'embeddings';
  const x = into ?? memory.workspace.get(name, batch.rows, modelConfig.text.hiddenSize);
  await embed(memory, batch, tableOf(memory.device, parameters, EMBEDDING), visual, modelConfig.imageTokenId, x);
  return {
    x,
    visual,
    images: encoded,
    afterLayer: async (layer, y) => {
      if (layer < deepstackLayers) await addDeepstack(memory, batch, visual, modelConfig.imageTokenId, layer, y);
    },
  };
}

// --- internal ---

/** Bytes of visual tokens to keep between steps: a sixteenth of the weights, and at least 64 MiB. */
function imageBudget(parameters: Parameters): number {
  return Math.max(64 * 2 ** 20, bytesOf(parameters, parameters.names) / 16);
}
