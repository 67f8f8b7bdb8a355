/**
 * The order in which values are computed, and their nodes in this order. Names no op.
 */
import type { Emitter } from './emitter.ts';
import type { Value } from './value.ts';

/** All values that the outputs depend on, inputs before their users. The walk does not go beyond values in `stop`. */
export function topological(outputs: readonly Value[], stop: ReadonlySet<Value> = new Set()): Value[] {
  const order: Value[] = [];
  const seen = new Set<Value>();
  const visit = (value: Value): void => {
    if (seen.has(value)) return;
    seen.add(value);
    if (!stop.has(value)) for (const source of value.inputs) visit(source);
    order.push(value);
  };
  for (const output of outputs) visit(output);
  return order;
}

/** Emits the nodes of values in topological order and adds the names of their results; values that have a name are there already. */
export function emitInOrder(emitter: Emitter, order: readonly Value[], names: Map<Value, string>): void {
  for (const value of order) {
    if (names.has(value)) continue;
    const sources = value.inputs.map((source) => names.get(source)!);
    names.set(value, value.rule.emit(emitter, sources));
  }
}
