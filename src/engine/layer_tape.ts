/**
 * What backward starts from in one decoder layer: the layer's input, attention's result, and results of products.
 * Names these tensors and their widths; callers give the memory.
 */

import type { TextConfig } from '../models/architecture.ts';
import type { Tensor } from '../runtime/tensor.ts';

export interface LayerTape {
  /** Input of the layer [N, hidden] and attention's result [N, heads * d]. */
  readonly x: Tensor;
  readonly o: Tensor;
  /** Results of the layer's matrix products; null where backward computes them again. */
  readonly products: LayerProducts | null;
}

/** q [N, heads * d], k and v [N, kvHeads * d], and what attention's output module keeps. */
export type LayerProducts = Readonly<Record<Product, Tensor>>;

/** `attended` [N, hidden], `gate` and `up` [N, intermediate]. */
export const KEPT = ['attended', 'gate', 'up'] as const;

/** Names of all products. */
export const PRODUCTS = ['q', 'k', 'v', ...KEPT] as const;
type Product = (typeof PRODUCTS)[number];

/** Widths of a tape's tensors, by name. */
export function tapeWidths(config: TextConfig, products: boolean): Readonly<Record<string, number>> {
  const { hiddenSize, numAttentionHeads, headDim } = config;
  return { x: hiddenSize, o: numAttentionHeads * headDim, ...(products ? productWidths(config) : {}) };
}

/** @param get allocates the tensor of a name and width */
export function createLayerTape(
  config: TextConfig,
  get: (name: string, width: number) => Tensor,
  products: boolean,
): LayerTape {
  const tensors = Object.fromEntries(
    Object.entries(tapeWidths(config, products)).map(([name, width]) => [name, get(name, width)]),
  ) as Record<'x' | 'o' | Product, Tensor>;
  const { x, o, ...kept } = tensors;
  return { x, o, products: products ? kept : null };
}

/** Bytes of the products of all layers, for so many rows. */
export function productBytes(config: TextConfig, rows: number): number {
  const width = Object.values(productWidths(config)).reduce((sum, each) => sum + each, 0);
  return Float32Array.BYTES_PER_ELEMENT * config.numHiddenLayers * rows * width;
}

/** A tape with other tensors in the same places. */
export function mapTape({ x, o, products }: LayerTape, map: (name: string, tensor: Tensor) => Tensor): LayerTape {
  const mapped = (of: LayerProducts): LayerProducts =>
    Object.fromEntries(Object.entries(of).map(([name, tensor]) => [name, map(name, tensor)])) as LayerProducts;
  return { x: map('x', x), o: map('o', o), products: products && mapped(products) };
}

/** The tensors of a tape, by name. */
export const tensorsOf = ({ x, o, products }: LayerTape): [string, Tensor][] => Object.entries({ x, o, ...products });

/** The products that attention's output module keeps, by the names it gives them. */
export function keptOf(
  products: LayerProducts,
  map: (name: string, tensor: Tensor) => Tensor = (_, tensor) => tensor,
): Record<string, Tensor> {
  return Object.fromEntries(KEPT.map((name) => [name, map(name, products[name])]));
}

export const isKept = (name: string): boolean => (KEPT as readonly string[]).includes(name);

// --- internal ---

function productWidths(config: TextConfig): Record<Product, number> {
  const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim } = config;
  return {
    q: numAttentionHeads * headDim,
    k: numKeyValueHeads * headDim,
    v: numKeyValueHeads * headDim,
    attended: hiddenSize,
    gate: intermediateSize,
    up: intermediateSize,
  };
}
