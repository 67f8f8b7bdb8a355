/**
 * A value that may be computed in two ways, where more than one node differs between devices. (Where one node does, its op
 * chooses by itself.)
 */
import type { Kernels } from './kernels.ts';
import { sameShape, showShape } from './shape.ts';
import { emitInOrder, topological } from './topological.ts';
import { none, type Value } from './value.ts';

/**
 * The first of two values on devices that have a kernel, the second one elsewhere. The other one is not computed.
 *
 * @param inputs what both are made of, apart from constants
 */
export function either(kernel: keyof Kernels, inputs: readonly Value[], first: Value, second: Value): Value {
  if (first.dtype !== second.dtype || !sameShape(first.shape, second.shape))
    throw new Error(
      `either: ${first.dtype} ${showShape(first.shape)} and ${second.dtype} ${showShape(second.shape)} are not alike`,
    );
  return {
    op: `either ${first.op} or ${second.op}`,
    inputs,
    dtype: first.dtype,
    shape: first.shape,
    rule: {
      emit(emitter, fed) {
        const names = new Map(inputs.map((value, i) => [value, fed[i]!]));
        const chosen = emitter.kernels[kernel] ? first : second;
        emitInOrder(emitter, topological([chosen], new Set(inputs)), names);
        return names.get(chosen)!;
      },
      vjp: none('only sampling uses it'),
    },
  };
}
