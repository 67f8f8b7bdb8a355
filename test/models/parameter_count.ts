/**
 * How many parameters a config asks for; a tied head counts once.
 * Knows shapes only.
 */
import type { ModelConfig } from '../../src/models/architecture.ts';
import { expectedTensors } from '../../src/models/tensors.ts';
import { sizeOf } from '../../src/runtime/tensor.ts';

export function parameterCount(config: ModelConfig): number {
  return [...expectedTensors(config).values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}
