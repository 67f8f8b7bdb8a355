/**
 * Everything the engine knows about an architecture: sizes, a decoder block and a vision tower as symbolic functions, and
 * the positions of tokens. An architecture is a value of type `Architecture`; src/models/registry.ts picks one by config.json.
 * Knows neither weights nor text, and runs nothing.
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
  /** Number of rotary pairs for time, height and width; they sum to headDim / 2. */
  readonly mropeSection: readonly [number, number, number];
  /** Whether the pairs of the three axes alternate instead of forming three sections; default false. */
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

/** The checked config.json of a checkpoint. */
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

/** A decoder block, split at attention, because the implementation of attention is chosen at call time. */
export interface DecoderBlock {
  /** Shapes of the tensors in the half before attention and in the half after it. */
  readonly before: BlockParams;
  readonly after: BlockParams;
  /** The projections to queries, keys and values, which a decode step computes as one product. */
  readonly joint: JointLayers;
  /** The residual stream x -> rotated queries q [n, heads * d], rotated keys k and values v [n, kvHeads * d]. */
  project(ops: BlockOps, x: Value, angles: { readonly cos: Value; readonly sin: Value }): Projected;
  /**
   * Adds attention's result o [n, heads * d] to the stream x, then applies the feed-forward layer. Returns the new stream
   * `y`, and as rows the values that the backward starts from: `attended` [n, hidden], `gate` and `up` [n, intermediate].
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

/** Consecutive windows of equal size: `windows` windows of `size` patches each, beginning at patch `start`. */
export interface WindowRun {
  readonly start: number;
  readonly windows: number;
  readonly size: number;
}

/** The order of an image's patches in the vision tower. */
export interface VisionLayout {
  /** Number of patches of the image. */
  readonly patches: number;
  /** order[i] is the patch, numbered in the processor's order, at row i of the tower; `inverse` is the inverse. [patches] */
  readonly order: Int32Array;
  readonly inverse: Int32Array;
  /** tokens[u] is the visual token that unit u (a group of merged patches) of the tower becomes. [visual tokens] */
  readonly tokens: Int32Array;
  /** The windows that blocks attend over, by the names that `VisionTowerParts.attends` returns. */
  readonly runs: Readonly<Record<string, readonly WindowRun[]>>;
  /** Rotary angles of each row of the tower: [patches, d / 2]. */
  readonly angles: AngleTable;
  /** Further constants of the patch embedding, one number per patch in the tower's order: [patches]. */
  readonly tables?: Readonly<Record<string, Float32Array | Int32Array>>;
}

/** A vision tower as modules over rows of patches. Parameter names are relative to `visual.` or `visual.blocks.N.`. */
export interface VisionTowerParts {
  /** pixels [N, patch width], order and inverse int32 [N], and the layout's tables [N] -> x [N, hidden] */
  readonly embedding: Module;
  /** x [N, hidden], cos, sin [N, d / 2] -> rotated q and k, and v, each [N, hidden] */
  readonly before: Module;
  /** x, o [N, hidden] -> y [N, hidden] */
  readonly after: Module;
  /** Merges neighbouring patches into visual tokens: x [U, merge², hidden] -> tokens [U, outHidden]. */
  readonly merger: Module;
  /** Mergers after intermediate blocks. Merger i's tokens are added to the stream after decoder layer i. */
  readonly deepstack: readonly { readonly block: number; readonly module: Module; readonly prefix: string }[];
  /** The name of the layout's runs that a block attends over. */
  attends(block: number): string;
  /** @param grid patches of the image: frames, rows, columns */
  layout(grid: Grid): VisionLayout;
  /** Shapes of tensors that checkpoints store differently: the module's matrix is a convolution's weight there. */
  readonly storedShapes: Readonly<Record<string, readonly number[]>>;
}

/** Frames, rows and columns of an image, in patches. */
export type Grid = readonly [frames: number, rows: number, columns: number];

/**
 * mRoPE positions [3, S], row-major (time, height, width), and the offset of the text after them: token S + n has position
 * S + n + delta.
 */
export interface PromptPositions {
  readonly positions: Int32Array;
  readonly delta: number;
}

/** The scale of box coordinates: `none` is pixels of the resized image, `norm1000` a square of side 1000. */
export type NormBbox = 'none' | 'norm1000';

/** @template C the architecture's own config, which `parseConfig` returns */
export interface Architecture<C extends ModelConfig = ModelConfig> {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** The entry of `architectures` in config.json. */
  readonly className: string;
  /** Name for messages, e.g. "Qwen2.5-VL". */
  readonly title: string;
  /** The scale in which the model was trained to write boxes, according to ms-swift's templates. */
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
  /** Positions of a whole sequence. Its image pads stand for images of these grids, in patches. */
  positions(ids: Int32Array, grids: readonly Grid[], config: C): PromptPositions;
}
