/**
 * How many parameters a config asks for; a tied head counts once.
 * Knows shapes only.
 */
import type { Qwen2_5_VLConfig } from '../../../src/models/qwen2_5_vl/config.ts';
import { expectedTensors } from '../../../src/models/qwen2_5_vl/weights.ts';
import { sizeOf } from '../../../src/runtime/tensor.ts';

export function parameterCount(config: Qwen2_5_VLConfig): number {
  return [...expectedTensors(config).values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}
