/**
 * What backward starts from in one decoder layer: the layer's input, attention's result, and results of products.
 * Says which tensors these are and how wide; not whose memory they lie in.
 */
import type { FloatTensor } from '../../runtime/tensor.ts';
import type { TextConfig } from './config.ts';

export interface LayerTape {
  /** Input of the layer [N, hidden] and attention's result [N, heads * d]. */
  readonly x: FloatTensor;
  readonly o: FloatTensor;
  /** Results of products; null where backward computes them again. */
  readonly products: LayerProducts | null;
}

/** q [N, heads * d], k and v [N, kvHeads * d], and what attention's output module keeps. */
export type LayerProducts = Readonly<Record<(typeof PRODUCTS)[number], FloatTensor>>;

/** `attended` [N, hidden], `gate` and `up` [N, intermediate]. */
export const KEPT = ['attended', 'gate', 'up'] as const;

/** Names of all products. */
export const PRODUCTS = ['q', 'k', 'v', ...KEPT] as const;

/** @param get gives the tensor of that name and width */
export function createLayerTape(
  { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim }: TextConfig,
  get: (name: string, width: number) => FloatTensor,
  products: boolean,
): LayerTape {
  const queryWidth = numAttentionHeads * headDim;
  const keyWidth = numKeyValueHeads * headDim;
  const kept = (): LayerProducts => ({
    q: get('q', queryWidth),
    k: get('k', keyWidth),
    v: get('v', keyWidth),
    attended: get('attended', hiddenSize),
    gate: get('gate', intermediateSize),
    up: get('up', intermediateSize),
  });
  return { x: get('x', hiddenSize), o: get('o', queryWidth), products: products ? kept() : null };
}

/** Another tape of the same kind, tensor by tensor. */
export function mapTape(
  { x, o, products }: LayerTape,
  map: (name: string, tensor: FloatTensor) => FloatTensor,
): LayerTape {
  const mapped = (of: LayerProducts): LayerProducts =>
    Object.fromEntries(Object.entries(of).map(([name, tensor]) => [name, map(name, tensor)])) as LayerProducts;
  return { x: map('x', x), o: map('o', o), products: products && mapped(products) };
}

/** The tensors of a tape, always in the same order. */
export function tensorsOf({ x, o, products }: LayerTape): FloatTensor[] {
  if (products === null) return [x, o];
  return [x, o, ...PRODUCTS.map((name) => products[name])];
}

/** What attention's output module kept, by the names it has there. */
export function keptOf(
  products: LayerProducts,
  map: (name: string, tensor: FloatTensor) => FloatTensor = (_, tensor) => tensor,
): Record<string, FloatTensor> {
  return Object.fromEntries(KEPT.map((name) => [name, map(name, products[name])]));
}

export const isKept = (name: string): boolean => (KEPT as readonly string[]).includes(name);
