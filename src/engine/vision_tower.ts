/**
 * Runs the vision tower over a batch of images: pixel patches to visual tokens, forward and backward.
 */

import type { BackwardOptions, Module } from '../graph/module.ts';
import type { Dim } from '../graph/shape.ts';
import type { ModelConfig, VisionLayout, WindowRun } from '../models/architecture.ts';
import { visionBlockTensor, visionTensor } from '../models/names.ts';
import { windowAttention } from '../nn/attention_modules.ts';
import { compileModule } from '../runtime/compiled_module.ts';
import { here } from '../runtime/device.ts';
import { type FloatTensor, floats, rows, type Tensor } from '../runtime/tensor.ts';
import { accumulatorsOf, type NameOf, readWeightsOf } from './bindings.ts';
import { type Dropout, dropoutMasks } from './dropout.ts';
import { createLayerModules, type LayerModules } from './layer_modules.ts';
import type { Parameters } from './parameters.ts';
import { BACKWARD } from './run_limits.ts';
import { createLayouts, type ImagePatches, pixelFeeds, visionAngles } from './vision_inputs.ts';
import { queryPieces, windowPieces } from './vision_windows.ts';
import type { WorkingMemory } from './working_memory.ts';

/** What backward starts from. */
export interface VisionTape {
  readonly images: readonly ImagePatches[];
  readonly layout: VisionLayout;
  /** Each block's input and attention result: [patches, hidden]. */
  readonly layers: readonly { readonly x: Tensor; readonly o: Tensor }[];
  /** Output of the last block: [patches, hidden]. */
  readonly last: Tensor;
  readonly dropout: Dropout | null;
}

export interface VisionTower {
  /**
   * Visual tokens of images, one after another, in reading order: [tokens, width], in new memory of this process. The merger gives the first
   * outHidden columns; each deepstack merger gives as many after them.
   *
   * @param tape number of the buffers that keep what backward needs, until the number is used again; null: nothing is kept
   * @param dropout of the inputs of adapters
   */
  forward(
    images: readonly ImagePatches[],
    tape: number | null,
    dropout?: Dropout | null,
  ): Promise<{ tokens: FloatTensor; tape: VisionTape | null }>;
  /** Adds weight gradients, given the cotangent of the tokens [tokens, width]. */
  backward(tape: VisionTape, dTokens: FloatTensor): Promise<void>;
  release(): Promise<void>;
}

/** The row dimensions of the modules: patches, and units of patches that become one token. */
const PATCHES = 'N';
const UNITS = 'U';

export function createVisionTower(
  modelConfig: ModelConfig,
  parameters: Parameters,
  { device, workspace, scratch }: WorkingMemory,
): VisionTower {
  const { hiddenSize: h, numHeads, depth, outHiddenSize, spatialMergeSize } = modelConfig.vision;
  const parts = modelConfig.architecture.vision(modelConfig);
  const unit = spatialMergeSize ** 2;
  const width = outHiddenSize * (1 + parts.deepstack.length);
  const modulesOf = (module: Module, rowName: Dim, backward: BackwardOptions = {}): LayerModules =>
    createLayerModules(module, rowName, parameters, scratch, backward, device);
  const embed = modulesOf(parts.embedding, PATCHES);
  const before = modulesOf(parts.before, PATCHES, { accumulateInputs: ['x'] });
  const after = modulesOf(parts.after, PATCHES);
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
    merge: modulesOf(exit.module, UNITS, exit.column === 0 ? {} : { accumulateInputs: ['x'] }),
  }));
  const attend = compileModule(
    windowAttention({ heads: numHeads, kvHeads: numHeads, headDim: h / numHeads }),
    {},
    device,
  );
  const embedIsTrained = embed.trains(visionTensor);
  /** Nothing is trained below this block. */
  const lowestTrained = ((): number => {
    if (embedIsTrained) return 0;
    const isTrained = (block: number): boolean => [before, after].some((half) => half.trains(blockName(block)));
    return Array.from({ length: depth }, (_, block) => block).find(isTrained) ?? depth;
  })();

  const runsOf = (layout: VisionLayout, block: number): readonly WindowRun[] => layout.runs[parts.attends(block)]!;
  const windowsOf = (tensor: Tensor, { start, windows, size }: WindowRun): Tensor =>
    device.view(device.rows(tensor, start, start + windows * size), [windows, size, h]);
  const layoutOf = createLayouts(parts);
  type Exit = (typeof exits)[number];
  /** Patches [patches, h] in the units that become a token each. */
  const units = (tensor: Tensor): Tensor => device.view(tensor, [tensor.dims[0]! / unit, unit, h]);
  /** Merges x, the result of an exit's block, and writes it to the exit's columns of `tokens`. */
  const leave = async (
    exit: Exit,
    x: Tensor,
    { patches, tokens: places }: VisionLayout,
    tokens: FloatTensor,
    dropout: Dropout | null,
  ) => {
    const into = workspace.get('vision.merged', patches / unit, outHiddenSize);
    await exit.merge.forward(exit.nameOf, { x: units(x) }, { tokens: into }, { dropout });
    const merged = here(await device.download(into));
    places.forEach((token, i) => {
      tokens.data.set(rows(merged, i, i + 1).data, token * width + exit.column);
    });
  };
  /** Adds the merger's weight gradients; the cotangent of x is written to `dx`, or added to it. */
  const leaveBackward = async (
    exit: Exit,
    x: Tensor,
    dTokens: FloatTensor,
    { patches, tokens: places }: VisionLayout,
    dx: Tensor,
    dropout: Dropout | null,
  ) => {
    const ofExit = scratch.get('vision.d.merged', patches / unit, outHiddenSize);
    places.forEach((token, i) => {
      const from = token * width + exit.column;
      ofExit.data.set(dTokens.data.subarray(from, from + outHiddenSize), i * outHiddenSize);
    });
    const dMerged = await workspace.upload('vision.d.merged', ofExit);
    const adds = exit.column !== 0;
    await exit.merge.backward(
      exit.nameOf,
      { x: units(x), 'd.tokens': dMerged, ...(adds ? { 'acc.x': units(dx) } : {}) },
      { [adds ? 'grad.x' : 'd.x']: units(dx) },
      { dropout },
    );
  };
  /** The patch embedding of a batch, and what it is fed. */
  const embedding = async (images: readonly ImagePatches[], layout: VisionLayout, dropout: Dropout | null) => {
    const compiled = embed.of(visionTensor, dropout);
    const masks = dropout && dropoutMasks(compiled.module, dropout, visionTensor, layout.patches, scratch);
    const weights = await readWeightsOf(compiled, parameters, visionTensor);
    return { compiled, feeds: { ...weights, ...pixelFeeds(parts, images, layout, scratch), ...masks } };
  };
  const anglesOf = async (layout: VisionLayout) => {
    const { cos, sin } = visionAngles(layout);
    return { cos: await workspace.upload('vision.cos', cos), sin: await workspace.upload('vision.sin', sin) };
  };
  const buffers = (tag: string, patches: number) => ({
    q: workspace.get(`vision.${tag}q`, patches, h),
    k: workspace.get(`vision.${tag}k`, patches, h),
    v: workspace.get(`vision.${tag}v`, patches, h),
  });

  return {
    async forward(images, tape, dropout = null) {
      const layout = layoutOf(images);
      const { patches } = layout;
      const kept = (block: number, name: string): Tensor =>
        workspace.get(
          tape === null ? `vision.${name}.${block % 2}` : `vision.tape.${tape}.${name}.${block}`,
          patches,
          h,
        );
      let x = kept(0, 'x');
      const patchEmbedding = await embedding(images, layout, dropout);
      await patchEmbedding.compiled.forward(patchEmbedding.feeds, { x });
      const tokens = floats(new Float32Array((patches / unit) * width), [patches / unit, width]);
      const angles = await anglesOf(layout);
      const layers: { x: Tensor; o: Tensor }[] = [];
      for (let block = 0; block < depth; block++) {
        const projections = buffers('', patches);
        await before.forward(blockName(block), { ...angles, x }, projections, { dropout });
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
        await after.forward(blockName(block), { x, o }, { y }, { dropout });
        layers.push({ x, o });
        x = y;
        for (const exit of exits) if (exit.block === block) await leave(exit, x, layout, tokens, dropout);
      }
      return { tokens, tape: tape === null ? null : { images, layout, layers, last: x, dropout } };
    },

    async backward({ images, layout, layers, last: output, dropout }, dTokens) {
      const { patches } = layout;
      const angles = await anglesOf(layout);
      const [last] = exits as [Exit];
      let dy = workspace.get('vision.d.last', patches, h);
      await leaveBackward(last, output, dTokens, layout, dy, dropout);
      const onTheWay = exits.filter((exit) => exit !== last);
      const dO = workspace.get('vision.d.o', patches, h);
      for (let block = depth - 1; block >= 0; block--) {
        const name = blockName(block);
        const { x, o } = layers[block]!;
        for (const exit of onTheWay)
          if (exit.block === block)
            await leaveBackward(exit, layers[block + 1]?.x ?? output, dTokens, layout, dy, dropout);
        // Below, only mergers may be trained: the cotangents that they pass on are not used.
        if (block < lowestTrained) continue;
        const dx = workspace.get(`vision.d.x.${block % 2}`, patches, h);
        await after.backward(name, { x, o, 'd.y': dy }, { 'd.x': dx, 'd.o': dO }, { dropout });
        const feeds = { ...angles, x };
        const { q, k, v } = buffers('', patches);
        await before.forward(name, feeds, { q, k, v }, { dropout });
        const d = buffers('d.', patches);
        for (const run of runsOf(layout, block).flatMap((all) => windowPieces(all, h, BACKWARD))) {
          await attend.backward(
            { q: windowsOf(q, run), k: windowsOf(k, run), v: windowsOf(v, run), 'd.out': windowsOf(dO, run) },
            { 'd.q': windowsOf(d.q, run), 'd.k': windowsOf(d.k, run), 'd.v': windowsOf(d.v, run) },
          );
        }
        await before.backward(
          name,
          { ...feeds, 'd.q': d.q, 'd.k': d.k, 'd.v': d.v, 'acc.x': dx },
          { 'grad.x': dx },
          { dropout },
        );
        dy = dx;
      }
      if (!embedIsTrained) return;
      const { compiled, feeds } = await embedding(images, layout, dropout);
      const gradients = accumulatorsOf(compiled, parameters, visionTensor);
      await compiled.backward({ ...feeds, 'd.x': dy, ...gradients.feeds }, gradients.into);
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
