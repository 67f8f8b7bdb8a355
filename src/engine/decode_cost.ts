/**
 * How decoding is cut into runs, and which form of a weight is fastest for so many rows.
 * Knows counts and bytes, measured thresholds among them (docs/log.md); runs nothing.
 */
import { layerTensor } from '../models/names.ts';
import type { Device } from '../runtime/device.ts';
import { sizeOf } from '../runtime/tensor.ts';
import type { Parameters } from './parameters.ts';
import { type Piece, piecesOf } from './row_chunks.ts';

/** Up to this many rows it is faster to stream a weight from the left than to have it on the right. */
const FEW_ROWS = 32;
/** Up to this many rows a weight in blocks is faster than both. */
export const BLOCK_ROWS = 128;

/**
 * The form of weights for products of so many rows, where there are no copies in blocks. A device with memory of its own has each
 * weight once, as backward takes it; other forms take weights of several layers together.
 */
export const formWithoutCopy = (rows: number, { sharesMemory }: Pick<Device, 'sharesMemory'>): 'left' | 'right' =>
  sharesMemory && rows <= FEW_ROWS ? 'left' : 'right';

/** Model sizes at which decoding takes other ways; tests set others to reach both. */
export interface DecodeLimits {
  /** Bytes of weights that one run may read: some 20 ms of streaming, during which the event loop waits. */
  readonly runBytes: number;
  /** Bytes of weights up to which copies in blocks are kept. */
  readonly copyBytes: number;
}

export const DECODE_LIMITS: DecodeLimits = { runBytes: 512 * 2 ** 20, copyBytes: 2 * 2 ** 30 };

/** Tokens of a run: more gain nothing, and each makes compiling longer. */
export const MOST_TOKENS = 4;
/** The cost of starting a run, in tokens of a small model. */
const START_COST = 0.07;

/**
 * The number of tokens to compute in a run, where `wanted` are to come and a run may hold `most`. It minimises the cost of
 * starting runs, of tokens left over in the last run, and of tokens computed after all completions have ended (half a run
 * on average).
 */
export function tokensPerRun(wanted: number, most: number): number {
  const cost = (tokens: number): number => {
    const runs = Math.ceil(wanted / tokens);
    return START_COST * runs + (runs * tokens - wanted) + (tokens - 1) / 2;
  };
  const counts = Array.from({ length: Math.max(1, Math.floor(most)) }, (_, i) => i + 1);
  return counts.reduce((best, count) => (cost(count) < cost(best) ? count : best));
}

/** Elements of one layer's weights. */
export const weightsOfLayer = (parameters: Parameters): number =>
  parameters.names
    .filter((name) => name.startsWith(layerTensor(0, '')))
    .reduce((sum, name) => sum + sizeOf(parameters.shape(name)), 0);

/** Cuts the layers into runs of nearly equal length; weights that are read from disk when they are used, layer by layer. */
export function cutLayers(layers: number, parameters: Parameters, runBytes: number): Piece[] {
  const most = Math.max(1, Math.floor(runBytes / (Float32Array.BYTES_PER_ELEMENT * weightsOfLayer(parameters))));
  return piecesOf(layers, parameters.inMemory || parameters.resident !== undefined ? most : 1);
}
