/**
 * What the engine has to know of an architecture: sizes, a decoder block and a vision tower as symbolic functions, and how
 * tokens are placed. An architecture is a value of `Architecture`; src/models/registry.ts picks one by config.json.
 * Knows no weights, no running and no text.
 */

import type { Module } from '../graph/module.ts';
import type { Value } from '../graph/value.ts';
import type { BlockOps, BlockParams, JointLayers } from '../nn/block_ops.ts';
import type { AngleTable } from '../nn/rope.ts';
import type { JsonObject } from '../util/json.ts';

export interface TextConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  /** Rotary pairs for time, height, width; they sum to headDim / 2. */
  readonly mropeSection: readonly [number, number, number];
  /** Pairs of the three axes take turns instead of following one another; default false. */
  readonly mropeInterleaved?: boolean;
  readonly tieWordEmbeddings: boolean;
  readonly maxPositionEmbeddings: number;
}

export interface VisionConfig {
  readonly depth: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly inChannels: number;
  /** Width after the merger; equals the text hiddenSize. */
  readonly outHiddenSize: number;
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  readonly spatialMergeSize: number;
  readonly temporalPatchSize: number;
}

/** A checkpoint's config.json, checked. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly text: TextConfig;
  readonly vision: VisionConfig;
  readonly imageTokenId: number;
  readonly videoTokenId: number;
  readonly visionStartTokenId: number;
  readonly visionEndTokenId: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** config.json as read. */
  readonly raw: JsonObject;
}

/** A decoder block, split at attention: the implementation of attention is a choice at call time. */
export interface DecoderBlock {
  /** Tensors of the half before attention, and of the half after it. */
  readonly before: BlockParams;
  readonly after: BlockParams;
  /** The projections to queries, keys and values. */
  readonly joint: JointLayers;
  /** x -> rotated queries and keys, and values: the stream -> q [n, heads * d], k and v [n, kvHeads * d]. */
  project(ops: BlockOps, x: Value, angles: { readonly cos: Value; readonly sin: Value }): Projected;
  /**
   * Attention's result o [n, heads * d] back into the stream x, then the feed-forward layer. Returns the stream `y`, and as
   * rows what backward starts from: `attended` [n, hidden], `gate` and `up` [n, intermediate].
   */
  finish(ops: BlockOps, x: Value, o: Value): Finished;
}

export interface Projected {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
}

export interface Finished {
  readonly y: Value;
  readonly attended: Value;
  readonly gate: Value;
  readonly up: Value;
}

/** Patches [start, start + windows * size): `windows` windows of `size` patches. */
export interface WindowRun {
  readonly start: number;
  readonly windows: number;
  readonly size: number;
}

/** The order of an image's patches in the tower. */
export interface VisionLayout {
  /** Patches of the image. */
  readonly patches: number;
  /** order[i]: the patch, in the processor's order, that stands at row i of the tower; inverse undoes it. [patches] */
  readonly order: Int32Array;
  readonly inverse: Int32Array;
  /** tokens[u]: the visual token that unit u of merged patches becomes. [visual tokens] */
  readonly tokens: Int32Array;
  /** What blocks attend over, by the names that `VisionTowerParts.attends` gives. */
  readonly runs: Readonly<Record<string, readonly WindowRun[]>>;
  /** Rotary angles of each row of the tower: [patches, d / 2]. */
  readonly angles: AngleTable;
  /** Further constants of the patch embedding, a number a patch in the tower's order: [patches]. */
  readonly tables?: Readonly<Record<string, Float32Array | Int32Array>>;
}

/** A vision tower as modules over rows of patches; parameters are named below `visual.` or `visual.blocks.N.`. */
export interface VisionTowerParts {
  /** pixels [N, patch width], order and inverse int32 [N], and the layout's tables [N] -> x [N, hidden] */
  readonly embedding: Module;
  /** x [N, hidden], cos, sin [N, d / 2] -> rotated q and k, and v, each [N, hidden] */
  readonly before: Module;
  /** x, o [N, hidden] -> y [N, hidden] */
  readonly after: Module;
  /** Four neighbouring patches to one visual token: x [U, merge² rows, hidden] -> tokens [U, outHidden]. */
  readonly merger: Module;
  /** Mergers of blocks on the way, whose tokens are added to the stream after the first decoder layers, one each. */
  readonly deepstack: readonly { readonly block: number; readonly module: Module; readonly prefix: string }[];
  /** Which of a layout's runs a block attends over. */
  attends(block: number): string;
  /** @param grid patches of the image: frames, rows, columns */
  layout(grid: Grid): VisionLayout;
  /** Shapes in checkpoints that differ from the modules': a convolution's weight is a matrix there. */
  readonly storedShapes: Readonly<Record<string, readonly number[]>>;
}

/** Frames, rows and columns of an image, in patches. */
export type Grid = readonly [frames: number, rows: number, columns: number];

/** mRoPE positions [3, S] row-major (time, height, width), and the offset with which text goes on: token S + n is at S + n + delta. */
export interface PromptPositions {
  readonly positions: Int32Array;
  readonly delta: number;
}

/** What boxes are scaled to: the resized image, or a square of 1000. */
export type NormBbox = 'none' | 'norm1000';

/** @template C its own config, which `parseConfig` makes */
export interface Architecture<C extends ModelConfig = ModelConfig> {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** The entry of `architectures`. */
  readonly className: string;
  /** What checkpoints of it are called in messages, e.g. "Qwen2.5-VL". */
  readonly title: string;
  /** How it was trained to write boxes, by ms-swift's templates. */
  readonly normBbox: NormBbox;
  /**
   * Checks and normalises a parsed config.json of this architecture.
   *
   * @param where file name for errors
   * Errors: E_CONFIG_INVALID, E_CONFIG_UNSUPPORTED, each naming the field.
   */
  parseConfig(json: JsonObject, where: string): Omit<C, 'architecture'>;
  decoderBlock(config: C): DecoderBlock;
  vision(config: C): VisionTowerParts;
  /** Positions of a whole sequence whose image pads stand for images of these grids, in patches. */
  positions(ids: Int32Array, grids: readonly Grid[], config: C): PromptPositions;
}
