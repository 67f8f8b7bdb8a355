/**
 * What a frozen weight is that stays in the memory of a device of its own.
 */
import type { ParamForm } from '../graph/module.ts';
import type { Value } from '../graph/value.ts';
import type { FrozenMatrix } from '../nn/linear.ts';
import type { Feeds } from '../runtime/device.ts';
import type { Tensor } from '../runtime/tensor.ts';

/** How modules take a weight that is not fed as it is. */
export interface ResidentForm extends ParamForm {
  /** Equal for weights of the same size that modules take in the same way. */
  readonly kind: string;
  /** The weight for a product with few rows, from what is fed by its ends; null: its value, as for many rows. */
  readonly matrix: ((fed: Readonly<Record<string, Value>>) => FrozenMatrix) | null;
}

/** A weight that stays on a device: in a form, with the tensors that it is fed by their ends; or whole, in float32. */
export type Resident =
  | { readonly form: ResidentForm; readonly feeds: Feeds }
  | { readonly form: null; readonly load: () => Promise<Tensor> };
