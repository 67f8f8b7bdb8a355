/**
 * The operations that a decoder block is written in. A block is one function of them, and they can be emitted in three forms:
 * for many rows, for the few rows of a decode step, and for few rows with weights and residual stream in blocks of channels.
 * Knows the layout of a linear layer's weights; not which layers a block has.
 */
import { blocksToRows, rowsToBlocks } from '../graph/ops/blocked.ts';
import { add } from '../graph/ops/elementwise.ts';
import { reshape, slice } from '../graph/ops/movement.ts';
import type { Dim, Shape } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import { layerOf, updateOf } from './adapter.ts';
import {
  type FrozenMatrix,
  LINEAR,
  type LinearLayer,
  plusUpdate,
  productInBlocks,
  type WeightForm,
  weightShape,
} from './linear.ts';
import { type GatedMlp, type GatedMlpValues, gatedMlp, gatedMlpFewRows, gatedMlpInBlocks } from './mlp.ts';

/** Shapes of a block's tensors by name: `<layer>.weight` [out, in] and `<layer>.bias` [out] of linear layers, [width] of norms. */
export type BlockParams = Readonly<Record<string, readonly number[]>>;

/** Linear layers of the same input that a decode step computes as one product, with their weights stacked. */
export interface JointLayers {
  readonly name: string;
  /** Number of outputs of each layer, by name, in stacking order. */
  readonly parts: Readonly<Record<string, number>>;
}

export interface BlockOps {
  /** A tensor that does not belong to a linear layer: [width]. */
  param(name: string): Value;
  /** The residual stream as rows [..., n, hidden], for a norm. */
  rows(stream: Value): Value;
  /** Applies linear layers to the same rows x -> [n, out] each; in the form of blocks [1, n, out]. */
  linears(x: Value, layers: JointLayers): Value[];
  /** stream + layer(x), where x is rows. */
  addLinear(stream: Value, x: Value, layer: string): Value;
  /** stream + down(silu(gate(x)) · up(x)), where x is rows; gate and up are returned as rows. */
  addGatedMlp(stream: Value, x: Value, layers: GatedMlpLayers): { y: Value; gate: Value; up: Value };
}

export interface GatedMlpLayers {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/**
 * @param w the block's tensors, as shaped by `blockParams` for this form
 * @param n the number of rows
 * @param others weights of linear layers that are not among the tensors, by the layers' names
 */
export function blockOps(
  form: WeightForm,
  w: Readonly<Record<string, Value>>,
  n: Dim,
  others: Readonly<Record<string, FrozenMatrix>> = {},
): BlockOps {
  const inBlocks = form === 'blocks';
  const param = (name: string): Value => {
    const value = w[name];
    if (value === undefined) throw new Error(`internal: a block asks for '${name}', which is not among its tensors`);
    return value;
  };
  const layerNamed = (layer: string): LinearLayer => layerOf(w, layer, others[layer]);
  const linear = (x: Value, layer: string): Value => LINEAR[form](x, layerNamed(layer));

  return {
    param,
    rows: inBlocks ? blocksToRows : (stream) => stream,
    linears(x, { name, parts }) {
      if (form === 'right') return Object.keys(parts).map((part) => linear(x, part));
      const joint = linear(x, name);
      const rows = inBlocks ? reshape(joint, [1, n, joint.shape.at(-1)!]) : joint;
      let next = 0;
      return Object.entries(parts).map(([part, width]) => {
        const start = next;
        next += width;
        // The weights of joint layers lie in one tensor, their adapters do not.
        return plusUpdate(slice(rows, -1, start, next), x, updateOf(w, part));
      });
    },
    addLinear: (stream, x, layer) =>
      inBlocks ? productInBlocks(rowsToBlocks(x), layerNamed(layer), stream) : add(stream, linear(x, layer)),
    addGatedMlp(stream, x, { gate: gateName, up: upName, down: downName }) {
      const layers: GatedMlp = { gate: layerNamed(gateName), up: layerNamed(upName), down: layerNamed(downName) };
      if (inBlocks) {
        const { gate, up, out } = gatedMlpInBlocks(rowsToBlocks(x), layers, stream);
        return { y: out, gate: blocksToRows(gate), up: blocksToRows(up) };
      }
      const mlp: (x: Value, w: GatedMlp) => GatedMlpValues = form === 'left' ? gatedMlpFewRows : gatedMlp;
      const { gate, up, out } = mlp(x, layers);
      return { y: add(stream, out), gate, up };
    },
  };
}

/** The tensors of a block as its module takes them: weights in this form and, except for many rows, joint layers stacked. */
export function blockParams(params: BlockParams, joint: JointLayers, form: WeightForm): Record<string, Shape> {
  return Object.fromEntries(
    Object.entries(form === 'right' ? params : joined(params, joint)).map(([name, shape]) => {
      const [out, inner] = shape;
      return [name, inner === undefined ? shape : weightShape(form, out!, inner)];
    }),
  );
}

/** Names of the linear layers' weights, joint layers stacked: the weights of a decode step's products. */
export function productWeights(params: BlockParams, joint: JointLayers): string[] {
  return Object.entries(joined(params, joint)).flatMap(([name, shape]) => (shape.length === 2 ? [name] : []));
}

// --- internal ---

/** The same tensors, with those of joint layers replaced by the stacked ones. */
function joined(params: BlockParams, { name, parts }: JointLayers): Record<string, readonly number[]> {
  const all: Record<string, readonly number[]> = {};
  const total = Object.values(parts).reduce((sum, width) => sum + width, 0);
  for (const [param, shape] of Object.entries(params)) {
    const [layer, kind] = [param.slice(0, param.lastIndexOf('.')), param.slice(param.lastIndexOf('.') + 1)];
    if (Object.hasOwn(parts, layer)) all[`${name}.${kind}`] = [total, ...shape.slice(1)];
    else all[param] = shape;
  }
  return all;
}
