/**
 * Runs the vision tower over a batch of images: pixel patches to visual tokens, forward and backward.
 */

import type { VisionConfig } from '../models/qwen2_5_vl/config.ts';
import {
  merger,
  patchEmbedding,
  patchWidth,
  visionAttentionInput,
  visionAttentionOutput,
} from '../models/qwen2_5_vl/vision.ts';
import { joinLayouts, type VisionLayout, visionLayout, type WindowRun } from '../models/qwen2_5_vl/vision_layout.ts';
import { windowAttention } from '../nn/attention_modules.ts';
import { compileModule } from '../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, floats, ints, rows, view } from '../runtime/tensor.ts';
import type { Workspace } from '../runtime/workspace.ts';
import { accumulatorsOf, type NameOf, readWeightsOf, weightsOf } from './bindings.ts';
import type { Parameters } from './parameters.ts';
import { backwardInPieces, forwardInPieces, piecesOf } from './pieces.ts';
import { BACKWARD, RUN_FLOP } from './run_limits.ts';

export interface ImagePatches {
  /** [patches, channels * frames * patch * patch] */
  readonly pixelValues: Float32Array;
  /** Writes them where they are wanted, for images that have to make them. */
  readonly writePixels?: (target: Float32Array) => void;
  /** Frames, rows, columns, in patches. */
  readonly gridThw: readonly [number, number, number];
}

/** What a forward leaves for backward. */
export interface VisionTape {
  readonly images: readonly ImagePatches[];
  readonly layout: VisionLayout;
  readonly layers: readonly { readonly x: FloatTensor; readonly o: FloatTensor }[];
  readonly last: FloatTensor;
}

export interface VisionTower {
  /**
   * Visual tokens of images, one after another, in reading order: [tokens, outHidden], in memory of their own.
   *
   * @param tape null, or a number: what backward needs is kept in buffers of that number until it is used again
   */
  forward(
    images: readonly ImagePatches[],
    tape: number | null,
  ): Promise<{ tokens: FloatTensor; tape: VisionTape | null }>;
  /** Adds weight gradients, given the cotangent of the tokens. */
  backward(tape: VisionTape, dTokens: FloatTensor): Promise<void>;
  release(): Promise<void>;
}

/** Layouts kept for grids that come again. */
const KEPT_LAYOUTS = 256;

export function createVisionTower(
  config: VisionConfig,
  parameters: Parameters,
  workspace: Workspace,
  runtime: RuntimeOptions = {},
): VisionTower {
  const { hiddenSize: h, numHeads, depth, outHiddenSize, spatialMergeSize, fullattBlockIndexes } = config;
  const unit = spatialMergeSize ** 2;
  const isTrained = (nameOf: NameOf) => (param: string) => parameters.isTrained(nameOf(param));
  const embed = compileModule(patchEmbedding(config), { trainable: isTrained(towerName) }, runtime);
  const before = compileModule(
    visionAttentionInput(config),
    { trainable: isTrained(blockName(0)), accumulateInputs: ['x'] },
    runtime,
  );
  const after = compileModule(visionAttentionOutput(config), { trainable: isTrained(blockName(0)) }, runtime);
  const merge = compileModule(merger(config), { trainable: isTrained(towerName) }, runtime);
  const attend = compileModule(
    windowAttention({ heads: numHeads, kvHeads: numHeads, headDim: h / numHeads }),
    {},
    runtime,
  );
  const towerIsTrained = parameters.isTrained(blockName(0)('norm1.weight'));

  const runsOf = (layout: VisionLayout, block: number): readonly WindowRun[] =>
    fullattBlockIndexes.includes(block) ? layout.frameRuns : layout.windowRuns;
  const windowsOf = (tensor: FloatTensor, { start, windows, size }: WindowRun): FloatTensor =>
    view(rows(tensor, start, start + windows * size), windows, size, h);
  /** The windows of a run, as many at a time as one kernel run may take on. */
  const windowPieces = ({ start, windows, size }: WindowRun, times = 1): WindowRun[] =>
    piecesOf(windows, Math.max(1, Math.floor(RUN_FLOP / (times * 4 * h * size ** 2)))).map((piece) => ({
      start: start + piece.start * size,
      windows: piece.end - piece.start,
      size,
    }));
  /** A single window that is still too long, e.g. a whole image, by its query rows. */
  const rowPieces = (run: WindowRun): WindowRun[] =>
    run.windows > 1
      ? [run]
      : piecesOf(run.size, Math.max(1, Math.floor(RUN_FLOP / (4 * h * run.size)))).map((piece) => ({
          start: run.start + piece.start,
          windows: 1,
          size: piece.end - piece.start,
        }));
  const inputWeights = (block: number) => readWeightsOf(before, parameters, blockName(block));
  const outputWeights = (block: number) => readWeightsOf(after, parameters, blockName(block));
  const layouts = new Map<string, VisionLayout>();
  const layoutOf = (grid: ImagePatches['gridThw']): VisionLayout => {
    const key = grid.join('x');
    const known = layouts.get(key) ?? visionLayout(config, grid);
    if (layouts.size >= KEPT_LAYOUTS) layouts.clear();
    layouts.set(key, known);
    return known;
  };
  /** Pixels of all images, one after another, and the order of their rows in the tower. */
  const pixelFeeds = (images: readonly ImagePatches[], { patches, order, inverse }: VisionLayout) => {
    const width = patchWidth(config);
    const [only] = images;
    const lieThere = images.length === 1 && only!.writePixels === undefined;
    const pixels = lieThere ? only!.pixelValues : workspace.get('vision.pixels', patches, width).data;
    let next = 0;
    for (const image of lieThere ? [] : images) {
      const target = pixels.subarray(next, next + patchesOf(image.gridThw) * width);
      if (image.writePixels === undefined) target.set(image.pixelValues);
      else image.writePixels(target);
      next += target.length;
    }
    return {
      pixels: floats(pixels, [patches, width]),
      order: ints(order, [patches]),
      inverse: ints(inverse, [patches]),
    };
  };
  const buffers = (tag: string, patches: number) => ({
    q: workspace.get(`vision.${tag}q`, patches, h),
    k: workspace.get(`vision.${tag}k`, patches, h),
    v: workspace.get(`vision.${tag}v`, patches, h),
  });

  return {
    async forward(images, tape) {
      const layout = joinLayouts(images.map(({ gridThw }) => layoutOf(gridThw)));
      const { patches } = layout;
      const kept = (block: number, name: string): FloatTensor =>
        workspace.get(
          tape === null ? `vision.${name}.${block % 2}` : `vision.tape.${tape}.${name}.${block}`,
          patches,
          h,
        );
      let x = kept(0, 'x');
      await embed.forward({ ...weightsOf(embed, parameters, towerName), ...pixelFeeds(images, layout) }, { x });
      const layers: { x: FloatTensor; o: FloatTensor }[] = [];
      for (let block = 0; block < depth; block++) {
        const projections = buffers('', patches);
        await forwardInPieces(before, 'forward', await inputWeights(block), { ...layout.angles, x }, projections);
        const o = kept(block, 'o');
        const { q, k, v } = projections;
        for (const run of runsOf(layout, block)) {
          for (const windows of windowPieces(run)) {
            const [keys, values] = [windowsOf(k, windows), windowsOf(v, windows)];
            for (const some of rowPieces(windows)) {
              await attend.forward({ q: windowsOf(q, some), k: keys, v: values }, { out: windowsOf(o, some) });
            }
          }
        }
        const y = kept(block + 1, 'x');
        await forwardInPieces(after, 'forward', await outputWeights(block), { x, o }, { y });
        layers.push({ x, o });
        x = y;
      }
      const merged = workspace.get('vision.merged', patches / unit, outHiddenSize);
      await forwardInPieces(
        merge,
        'forward',
        weightsOf(merge, parameters, towerName),
        { x: view(x, patches / unit, unit, h) },
        { tokens: merged },
      );
      const tokens = floats(new Float32Array((patches / unit) * outHiddenSize), [patches / unit, outHiddenSize]);
      layout.tokens.forEach((token, i) => {
        tokens.data.set(merged.data.subarray(i * outHiddenSize, (i + 1) * outHiddenSize), token * outHiddenSize);
      });
      return { tokens, tape: tape === null ? null : { images, layout, layers, last: x } };
    },

    async backward({ images, layout, layers, last }, dTokens) {
      const { patches } = layout;
      const dMerged = workspace.get('vision.d.merged', patches / unit, outHiddenSize);
      layout.tokens.forEach((token, i) => {
        dMerged.data.set(dTokens.data.subarray(token * outHiddenSize, (token + 1) * outHiddenSize), i * outHiddenSize);
      });
      const mergeGradients = accumulatorsOf(merge, parameters, towerName);
      let dy = workspace.get('vision.d.last', patches, h);
      await backwardInPieces(
        merge,
        weightsOf(merge, parameters, towerName),
        mergeGradients,
        { x: view(last, patches / unit, unit, h), 'd.tokens': dMerged },
        { 'd.x': view(dy, patches / unit, unit, h) },
      );
      if (!towerIsTrained) return;
      const dO = workspace.get('vision.d.o', patches, h);
      for (let block = depth - 1; block >= 0; block--) {
        const { x, o } = layers[block]!;
        const dx = workspace.get(`vision.d.x.${block % 2}`, patches, h);
        const outputGradients = accumulatorsOf(after, parameters, blockName(block));
        await backwardInPieces(
          after,
          await outputWeights(block),
          outputGradients,
          { x, o, 'd.y': dy },
          { 'd.x': dx, 'd.o': dO },
        );
        const feeds = { ...layout.angles, x };
        const { q, k, v } = buffers('', patches);
        await forwardInPieces(before, 'forward', await inputWeights(block), feeds, { q, k, v });
        const d = buffers('d.', patches);
        for (const run of runsOf(layout, block).flatMap((all) => windowPieces(all, BACKWARD))) {
          await attend.backward(
            { q: windowsOf(q, run), k: windowsOf(k, run), v: windowsOf(v, run), 'd.out': windowsOf(dO, run) },
            { 'd.q': windowsOf(d.q, run), 'd.k': windowsOf(d.k, run), 'd.v': windowsOf(d.v, run) },
          );
        }
        const inputGradients = accumulatorsOf(before, parameters, blockName(block));
        await backwardInPieces(
          before,
          await inputWeights(block),
          inputGradients,
          { ...feeds, 'd.q': d.q, 'd.k': d.k, 'd.v': d.v, 'acc.x': dx },
          { 'grad.x': dx },
        );
        dy = dx;
      }
      const embedGradients = accumulatorsOf(embed, parameters, towerName);
      await embed.backward(
        {
          ...weightsOf(embed, parameters, towerName),
          ...pixelFeeds(images, layout),
          'd.x': dy,
          ...embedGradients.feeds,
        },
        embedGradients.into,
      );
    },

    async release() {
      await Promise.all([embed, before, after, merge, attend].map((module) => module.release()));
    },
  };
}

export const patchesOf = ([frames, height, width]: ImagePatches['gridThw']): number => frames * height * width;

// --- internal ---

const towerName: NameOf = (param) => `visual.${param}`;

const blockName =
  (block: number): NameOf =>
  (param) =>
    `visual.blocks.${block}.${param}`;
