/**
 * Runs the vision tower over a batch of images: pixel patches to visual tokens, forward and backward.
 */

import type { ModelConfig, VisionLayout, WindowRun } from '../models/architecture.ts';
import { visionBlockTensor, visionTensor } from '../models/names.ts';
import { windowAttention } from '../nn/attention_modules.ts';
import { compileModule } from '../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, floats, rows, view } from '../runtime/tensor.ts';
import type { Workspace } from '../runtime/workspace.ts';
import { accumulatorsOf, type NameOf, readWeightsOf, weightsOf } from './bindings.ts';
import type { Parameters } from './parameters.ts';
import { backwardInPieces, forwardInPieces } from './row_chunks.ts';
import { BACKWARD } from './run_limits.ts';
import { createLayouts, type ImagePatches, pixelFeeds, visionAngles } from './vision_inputs.ts';
import { queryPieces, windowPieces } from './vision_windows.ts';

/** What backward starts from. */
export interface VisionTape {
  readonly images: readonly ImagePatches[];
  readonly layout: VisionLayout;
  /** Each block's input and attention result: [patches, hidden]. */
  readonly layers: readonly { readonly x: FloatTensor; readonly o: FloatTensor }[];
  /** Output of the last block: [patches, hidden]. */
  readonly last: FloatTensor;
}

export interface VisionTower {
  /**
   * Visual tokens of images, one after another, in reading order: [tokens, width], in new memory. The merger gives the first
   * outHidden columns; each deepstack merger gives as many after them.
   *
   * @param tape number of the buffers that keep what backward needs, until the number is used again; null: nothing is kept
   */
  forward(
    images: readonly ImagePatches[],
    tape: number | null,
  ): Promise<{ tokens: FloatTensor; tape: VisionTape | null }>;
  /** Adds weight gradients, given the cotangent of the tokens [tokens, width]. */
  backward(tape: VisionTape, dTokens: FloatTensor): Promise<void>;
  release(): Promise<void>;
}

export function createVisionTower(
  modelConfig: ModelConfig,
  parameters: Parameters,
  workspace: Workspace,
  runtime: RuntimeOptions = {},
): VisionTower {
  const { hiddenSize: h, numHeads, depth, outHiddenSize, spatialMergeSize } = modelConfig.vision;
  const parts = modelConfig.architecture.vision(modelConfig);
  const unit = spatialMergeSize ** 2;
  const width = outHiddenSize * (1 + parts.deepstack.length);
  const isTrained = (nameOf: NameOf) => (param: string) => parameters.isTrained(nameOf(param));
  const embed = compileModule(parts.embedding, { trainable: isTrained(visionTensor) }, runtime);
  const before = compileModule(parts.before, { trainable: isTrained(blockName(0)), accumulateInputs: ['x'] }, runtime);
  const after = compileModule(parts.after, { trainable: isTrained(blockName(0)) }, runtime);
  /** The mergers, each with the block it follows and its first column in the tokens. */
  const exits = [
    { block: depth - 1, module: parts.merger, nameOf: visionTensor, column: 0 },
    ...parts.deepstack.map(({ block, module, prefix }, i) => ({
      block,
      module,
      nameOf: (param: string) => visionTensor(`${prefix}${param}`),
      column: (i + 1) * outHiddenSize,
    })),
  ].map((exit) => ({
    ...exit,
    merge: compileModule(
      exit.module,
      { trainable: isTrained(exit.nameOf), ...(exit.column === 0 ? {} : { accumulateInputs: ['x'] }) },
      runtime,
    ),
  }));
  const attend = compileModule(
    windowAttention({ heads: numHeads, kvHeads: numHeads, headDim: h / numHeads }),
    {},
    runtime,
  );
  const towerIsTrained = parameters.isTrained(blockName(0)('norm1.weight'));

  const runsOf = (layout: VisionLayout, block: number): readonly WindowRun[] => layout.runs[parts.attends(block)]!;
  const windowsOf = (tensor: FloatTensor, { start, windows, size }: WindowRun): FloatTensor =>
    view(rows(tensor, start, start + windows * size), windows, size, h);
  const inputWeights = (block: number) => readWeightsOf(before, parameters, blockName(block));
  const outputWeights = (block: number) => readWeightsOf(after, parameters, blockName(block));
  const layoutOf = createLayouts(parts);
  type Exit = (typeof exits)[number];
  const merged = (patches: number) => workspace.get('vision.merged', patches / unit, outHiddenSize);
  /** Merges x, the result of an exit's block, and writes it to the exit's columns of `tokens`. */
  const leave = async (exit: Exit, x: FloatTensor, { patches, tokens: places }: VisionLayout, tokens: FloatTensor) => {
    const into = merged(patches);
    await forwardInPieces(
      exit.merge,
      'forward',
      weightsOf(exit.merge, parameters, exit.nameOf),
      { x: view(x, patches / unit, unit, h) },
      { tokens: into },
    );
    places.forEach((token, i) => {
      tokens.data.set(rows(into, i, i + 1).data, token * width + exit.column);
    });
  };
  /** Adds the merger's weight gradients; the cotangent of x is written to `dx`, or added to it. */
  const leaveBackward = async (
    exit: Exit,
    x: FloatTensor,
    dTokens: FloatTensor,
    { patches, tokens: places }: VisionLayout,
    dx: FloatTensor,
  ) => {
    const dMerged = merged(patches);
    places.forEach((token, i) => {
      const from = token * width + exit.column;
      dMerged.data.set(dTokens.data.subarray(from, from + outHiddenSize), i * outHiddenSize);
    });
    const units = (tensor: FloatTensor): FloatTensor => view(tensor, patches / unit, unit, h);
    const adds = exit.column !== 0;
    await backwardInPieces(
      exit.merge,
      weightsOf(exit.merge, parameters, exit.nameOf),
      accumulatorsOf(exit.merge, parameters, exit.nameOf),
      { x: units(x), 'd.tokens': dMerged, ...(adds ? { 'acc.x': units(dx) } : {}) },
      { [adds ? 'grad.x' : 'd.x']: units(dx) },
    );
  };
  const buffers = (tag: string, patches: number) => ({
    q: workspace.get(`vision.${tag}q`, patches, h),
    k: workspace.get(`vision.${tag}k`, patches, h),
    v: workspace.get(`vision.${tag}v`, patches, h),
  });

  return {
    async forward(images, tape) {
      const layout = layoutOf(images);
      const { patches } = layout;
      const kept = (block: number, name: string): FloatTensor =>
        workspace.get(
          tape === null ? `vision.${name}.${block % 2}` : `vision.tape.${tape}.${name}.${block}`,
          patches,
          h,
        );
      let x = kept(0, 'x');
      await embed.forward(
        { ...weightsOf(embed, parameters, visionTensor), ...pixelFeeds(parts, images, layout, workspace) },
        { x },
      );
      const tokens = floats(new Float32Array((patches / unit) * width), [patches / unit, width]);
      const angles = visionAngles(layout);
      const layers: { x: FloatTensor; o: FloatTensor }[] = [];
      for (let block = 0; block < depth; block++) {
        const projections = buffers('', patches);
        await forwardInPieces(before, 'forward', await inputWeights(block), { ...angles, x }, projections);
        const o = kept(block, 'o');
        const { q, k, v } = projections;
        for (const run of runsOf(layout, block)) {
          for (const windows of windowPieces(run, h)) {
            const [keys, values] = [windowsOf(k, windows), windowsOf(v, windows)];
            for (const some of queryPieces(windows, h)) {
              await attend.forward({ q: windowsOf(q, some), k: keys, v: values }, { out: windowsOf(o, some) });
            }
          }
        }
        const y = kept(block + 1, 'x');
        await forwardInPieces(after, 'forward', await outputWeights(block), { x, o }, { y });
        layers.push({ x, o });
        x = y;
        for (const exit of exits) if (exit.block === block) await leave(exit, x, layout, tokens);
      }
      return { tokens, tape: tape === null ? null : { images, layout, layers, last: x } };
    },

    async backward({ images, layout, layers, last: output }, dTokens) {
      const { patches } = layout;
      const angles = visionAngles(layout);
      const [last] = exits as [Exit];
      let dy = workspace.get('vision.d.last', patches, h);
      await leaveBackward(last, output, dTokens, layout, dy);
      const onTheWay = exits.filter((exit) => exit !== last);
      if (!towerIsTrained) {
        // Only mergers are trained: the cotangents that they pass on are not used.
        for (const exit of onTheWay)
          await leaveBackward(exit, layers[exit.block + 1]?.x ?? output, dTokens, layout, dy);
        return;
      }
      const dO = workspace.get('vision.d.o', patches, h);
      for (let block = depth - 1; block >= 0; block--) {
        const { x, o } = layers[block]!;
        for (const exit of onTheWay)
          if (exit.block === block) await leaveBackward(exit, layers[block + 1]?.x ?? output, dTokens, layout, dy);
        const dx = workspace.get(`vision.d.x.${block % 2}`, patches, h);
        const outputGradients = accumulatorsOf(after, parameters, blockName(block));
        await backwardInPieces(
          after,
          await outputWeights(block),
          outputGradients,
          { x, o, 'd.y': dy },
          { 'd.x': dx, 'd.o': dO },
        );
        const feeds = { ...angles, x };
        const { q, k, v } = buffers('', patches);
        await forwardInPieces(before, 'forward', await inputWeights(block), feeds, { q, k, v });
        const d = buffers('d.', patches);
        for (const run of runsOf(layout, block).flatMap((all) => windowPieces(all, h, BACKWARD))) {
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
      const embedGradients = accumulatorsOf(embed, parameters, visionTensor);
      await embed.backward(
        {
          ...weightsOf(embed, parameters, visionTensor),
          ...pixelFeeds(parts, images, layout, workspace),
          'd.x': dy,
          ...embedGradients.feeds,
        },
        embedGradients.into,
      );
    },

    async release() {
      const mergers = exits.map(({ merge }) => merge);
      await Promise.all([embed, before, after, attend, ...mergers].map((module) => module.release()));
    },
  };
}

// --- internal ---

const blockName =
  (block: number): NameOf =>
  (param) =>
    visionBlockTensor(block, param);
