/**
 * Runs the vision tower over a batch of images: pixel patches to visual tokens, forward and backward.
 */

import type { BackwardOptions, Module } from '../graph/module.ts';
import type { Dim } from '../graph/shape.ts';
import type { Grid, ModelConfig, VisionLayout, WindowRun } from '../models/architecture.ts';
import { visionBlockTensor, visionTensor } from '../models/names.ts';
import { windowAttention } from '../nn/attention_modules.ts';
import { compileModule } from '../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../runtime/session.ts';
import { type FloatTensor, floats, ints, rows, type Tensor, view } from '../runtime/tensor.ts';
import type { Workspace } from '../runtime/workspace.ts';
import { accumulatorsOf, type NameOf, readWeightsOf } from './bindings.ts';
import { type Dropout, dropoutMasks } from './dropout.ts';
import { joinLayouts } from './join_layouts.ts';
import { createLayerModules, type LayerModules } from './layer_modules.ts';
import type { Parameters } from './parameters.ts';
import { piecesOf } from './row_chunks.ts';
import { BACKWARD, RUN_FLOP } from './run_limits.ts';

export interface ImagePatches {
  /** [patches, channels * frames * patch * patch] */
  readonly pixelValues: Float32Array;
  /** Writes them where they are wanted, for images that have to make them. */
  readonly writePixels?: (target: Float32Array) => void;
  /** Frames, rows, columns, in patches. */
  readonly gridThw: Grid;
}

/** What a forward leaves for backward. */
export interface VisionTape {
  readonly images: readonly ImagePatches[];
  readonly layout: VisionLayout;
  readonly layers: readonly { readonly x: FloatTensor; readonly o: FloatTensor }[];
  readonly last: FloatTensor;
  readonly dropout: Dropout | null;
}

export interface VisionTower {
  /**
   * Visual tokens of images, one after another, in reading order, in memory of their own: [tokens, width]. Columns are the
   * merger's outHidden, and behind them as many of each deepstack merger.
   *
   * @param tape null, or a number: what backward needs is kept in buffers of that number until it is used again
   * @param dropout of the inputs of adapters
   */
  forward(
    images: readonly ImagePatches[],
    tape: number | null,
    dropout?: Dropout | null,
  ): Promise<{ tokens: FloatTensor; tape: VisionTape | null }>;
  /** Adds weight gradients, given the cotangent of the tokens. */
  backward(tape: VisionTape, dTokens: FloatTensor): Promise<void>;
  release(): Promise<void>;
}

/** What the modules' rows are called: patches, and units of patches that become one token. */
const PATCHES = 'N';
const UNITS = 'U';

/** Layouts kept for grids that come again. */
const KEPT_LAYOUTS = 256;

export function createVisionTower(
  config: ModelConfig,
  parameters: Parameters,
  workspace: Workspace,
  runtime: RuntimeOptions = {},
): VisionTower {
  const { hiddenSize: h, numHeads, depth, outHiddenSize, spatialMergeSize } = config.vision;
  const parts = config.architecture.vision(config);
  const unit = spatialMergeSize ** 2;
  const width = outHiddenSize * (1 + parts.deepstack.length);
  const modulesOf = (module: Module, rows: Dim, backward: BackwardOptions = {}): LayerModules =>
    createLayerModules(module, rows, parameters, workspace, backward, runtime);
  const embed = modulesOf(parts.embedding, PATCHES);
  const before = modulesOf(parts.before, PATCHES, { accumulateInputs: ['x'] });
  const after = modulesOf(parts.after, PATCHES);
  /** Where tokens leave the tower: after which block, into which columns. */
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
    runtime,
  );
  const embedIsTrained = embed.trains(visionTensor);
  /** Below this block nothing is trained. */
  const lowest = embedIsTrained
    ? 0
    : piecesOf(depth, 1).findIndex(({ start }) => before.trains(blockName(start)) || after.trains(blockName(start)));
  const lowestBlock = lowest < 0 ? depth : lowest;

  const runsOf = (layout: VisionLayout, block: number): readonly WindowRun[] => layout.runs[parts.attends(block)]!;
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
  const layouts = new Map<string, VisionLayout>();
  const layoutOf = (grid: ImagePatches['gridThw']): VisionLayout => {
    const key = grid.join('x');
    const known = layouts.get(key) ?? parts.layout(grid);
    if (layouts.size >= KEPT_LAYOUTS) layouts.clear();
    layouts.set(key, known);
    return known;
  };
  /** Pixels of all images, one after another, and the order of their rows in the tower. */
  const pixelFeeds = (
    images: readonly ImagePatches[],
    { patches, order, inverse, tables = {} }: VisionLayout,
  ): Record<string, Tensor> => {
    const width = Number(parts.embedding.constants.pixels!.shape[1]);
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
      ...Object.fromEntries(
        Object.entries(tables).map(([name, data]) => [
          name,
          data instanceof Int32Array ? ints(data, [patches]) : floats(data, [patches]),
        ]),
      ),
    };
  };
  const anglesOf = ({ angles: { cos, sin, rows, half } }: VisionLayout) => ({
    cos: floats(cos, [rows, half]),
    sin: floats(sin, [rows, half]),
  });
  type Exit = (typeof exits)[number];
  const merged = (patches: number) => workspace.get('vision.merged', patches / unit, outHiddenSize);
  /** Merges x, what an exit's block returns, into the exit's columns of `tokens`. */
  const leave = async (
    exit: Exit,
    x: FloatTensor,
    { patches, tokens: places }: VisionLayout,
    tokens: FloatTensor,
    dropout: Dropout | null,
  ) => {
    const into = merged(patches);
    await exit.merge.forward(exit.nameOf, { x: view(x, patches / unit, unit, h) }, { tokens: into }, { dropout });
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
    dropout: Dropout | null,
  ) => {
    const dMerged = merged(patches);
    places.forEach((token, i) => {
      const from = token * width + exit.column;
      dMerged.data.set(dTokens.data.subarray(from, from + outHiddenSize), i * outHiddenSize);
    });
    const units = (tensor: FloatTensor): FloatTensor => view(tensor, patches / unit, unit, h);
    const adds = exit.column !== 0;
    await exit.merge.backward(
      exit.nameOf,
      { x: units(x), 'd.tokens': dMerged, ...(adds ? { 'acc.x': units(dx) } : {}) },
      { [adds ? 'grad.x' : 'd.x']: units(dx) },
      { dropout },
    );
  };
  /** The patch embedding, and what it is fed: it is run on all rows at once. */
  const embedding = async (dropout: Dropout | null, pixels: Record<string, Tensor>) => {
    const module = embed.of(visionTensor, dropout);
    const rowCount = pixels.pixels!.dims[0]!;
    const masks = dropout === null ? {} : dropoutMasks(module.module, dropout, visionTensor, rowCount, workspace);
    return { module, feeds: { ...(await readWeightsOf(module, parameters, visionTensor)), ...pixels, ...masks } };
  };
  const buffers = (tag: string, patches: number) => ({
    q: workspace.get(`vision.${tag}q`, patches, h),
    k: workspace.get(`vision.${tag}k`, patches, h),
    v: workspace.get(`vision.${tag}v`, patches, h),
  });

  return {
    async forward(images, tape, dropout = null) {
      const layout = joinLayouts(images.map(({ gridThw }) => layoutOf(gridThw)));
      const { patches } = layout;
      const kept = (block: number, name: string): FloatTensor =>
        workspace.get(
          tape === null ? `vision.${name}.${block % 2}` : `vision.tape.${tape}.${name}.${block}`,
          patches,
          h,
        );
      let x = kept(0, 'x');
      const patchEmbedding = await embedding(dropout, pixelFeeds(images, layout));
      await patchEmbedding.module.forward(patchEmbedding.feeds, { x });
      const tokens = floats(new Float32Array((patches / unit) * width), [patches / unit, width]);
      const angles = anglesOf(layout);
      const layers: { x: FloatTensor; o: FloatTensor }[] = [];
      for (let block = 0; block < depth; block++) {
        const projections = buffers('', patches);
        await before.forward(blockName(block), { ...angles, x }, projections, { dropout });
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
        await after.forward(blockName(block), { x, o }, { y }, { dropout });
        layers.push({ x, o });
        x = y;
        for (const exit of exits) if (exit.block === block) await leave(exit, x, layout, tokens, dropout);
      }
      return { tokens, tape: tape === null ? null : { images, layout, layers, last: x, dropout } };
    },

    async backward({ images, layout, layers, last: output, dropout }, dTokens) {
      const { patches } = layout;
      const angles = anglesOf(layout);
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
        // Mergers on the way may be trained below it; the cotangents that they pass on go nowhere.
        if (block < lowestBlock) continue;
        const dx = workspace.get(`vision.d.x.${block % 2}`, patches, h);
        await after.backward(name, { x, o, 'd.y': dy }, { 'd.x': dx, 'd.o': dO }, { dropout });
        const feeds = { ...angles, x };
        const { q, k, v } = buffers('', patches);
        await before.forward(name, feeds, { q, k, v }, { dropout });
        const d = buffers('d.', patches);
        for (const run of runsOf(layout, block).flatMap((all) => windowPieces(all, BACKWARD))) {
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
      const { module, feeds } = await embedding(dropout, pixelFeeds(images, layout));
      const gradients = accumulatorsOf(module, parameters, visionTensor);
      await module.backward({ ...feeds, 'd.x': dy, ...gradients.feeds }, gradients.into);
    },

    async release() {
      const mergers = exits.map(({ merge }) => merge);
      await Promise.all([embed, before, after, attend, ...mergers].map((module) => module.release()));
    },
  };
}

export const patchesOf = ([frames, height, width]: ImagePatches['gridThw']): number => frames * height * width;

// --- internal ---

const blockName =
  (block: number): NameOf =>
  (param) =>
    visionBlockTensor(block, param);
