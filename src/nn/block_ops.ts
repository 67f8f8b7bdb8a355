/**
 * The operations a decoder block is written with. A block is one function over them; they are emitted in three forms: for
 * many rows, for the few rows of a decode step, and for few rows with weights and residual stream in blocks of channels.
 * Knows linear layers by name and how their weights lie; not which layers a block has.
 */
import { blocksToRows, rowsToBlocks } from '../graph/ops/blocked.ts';
import { add } from '../graph/ops/elementwise.ts';
import { reshape, slice } from '../graph/ops/movement.ts';
import type { Dim, Shape } from '../graph/shape.ts';
import type { Value } from '../graph/value.ts';
import { layerOf, updateOf } from './adapter.ts';
import { LINEAR, plusUpdate, productInBlocks, type WeightForm, weightShape } from './linear.ts';
import { type GatedMlp, type GatedMlpValues, gatedMlp, gatedMlpFewRows, gatedMlpInBlocks } from './mlp.ts';

/** Tensors of a block by name: a linear layer's `<name>.weight` [out, in] and `<name>.bias` [out], a norm's `[width]`. */
export type BlockParams = Readonly<Record<string, readonly number[]>>;

/** Linear layers of the same input that a decode step computes as one product; their weights lie one after another. */
export interface JointLayers {
  readonly name: string;
  /** Outputs of each, in order, by name. */
  readonly parts: Readonly<Record<string, number>>;
}

export interface BlockOps {
  /** A tensor that is no linear layer's: [width]. */
  param(name: string): Value;
  /** The residual stream as rows [..., n, hidden], for a norm. */
  rows(stream: Value): Value;
  /** Linear layers of the same rows x -> [n, out] each; from blocks [1, n, out]. */
  linears(x: Value, layers: JointLayers): Value[];
  /** stream + layer(x), x rows. */
  addLinear(stream: Value, x: Value, layer: string): Value;
  /** stream + down(silu(gate(x)) · up(x)), x rows; gate and up are returned as rows. */
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
 */
export function blockOps(form: WeightForm, w: Readonly<Record<string, Value>>, n: Dim): BlockOps {
  const inBlocks = form === 'blocks';
  const param = (name: string): Value => {
    const value = w[name];
    if (value === undefined) throw new Error(`internal: a block asks for '${name}', which is not among its tensors`);
    return value;
  };
  const linear = (x: Value, layer: string): Value => LINEAR[form](x, layerOf(w, layer));

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
      inBlocks ? productInBlocks(rowsToBlocks(x), layerOf(w, layer), stream) : add(stream, linear(x, layer)),
    addGatedMlp(stream, x, { gate: gateName, up: upName, down: downName }) {
      const layers: GatedMlp = { gate: layerOf(w, gateName), up: layerOf(w, upName), down: layerOf(w, downName) };
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

/** The tensors that a module takes for a block's, its weights in this form and, but for many rows, joint layers as one. */
export function blockParams(params: BlockParams, joint: JointLayers, form: WeightForm): Record<string, Shape> {
  return Object.fromEntries(
    Object.entries(form === 'right' ? params : joined(params, joint)).map(([name, shape]) => {
      const [out, inner] = shape;
      return [name, inner === undefined ? shape : weightShape(form, out!, inner)];
    }),
  );
}

/** Names of the linear layers' weights, joint layers as one: the weights of a decode step's products. */
export function productWeights(params: BlockParams, joint: JointLayers): string[] {
  return Object.entries(joined(params, joint)).flatMap(([name, shape]) => (shape.length === 2 ? [name] : []));
}

// --- internal ---

/** The same tensors with one in place of those that lie one after another. */
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
