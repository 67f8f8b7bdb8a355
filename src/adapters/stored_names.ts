/**
 * Names of an adapter's tensors in files: the one that PEFT writes, and every spelling that is read.
 */
import { canonicalName, treeName } from '../checkpoint/names.ts';
import { SightlineError } from '../errors.ts';
import { adapterA, adapterB } from '../nn/adapter.ts';

/** Before the name of a weight of the base model. */
export const COPY = 'base of ';

/** The name under which PEFT stores a tensor. */
export const storedName = (canonical: string): string => `base_model.model.${treeName(canonical)}`;

/** The canonical name of a stored tensor. Error: E_ADAPTER_UNSUPPORTED, of tensors of other kinds of adapter. */
export function placeOf(stored: string, path: string): string {
  const [, layer, kind] = /^(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(stored) ?? [];
  if (layer !== undefined) return kind === 'A' ? adapterA(canonicalName(layer)) : adapterB(canonicalName(layer));
  const [, base] = /^(.+)\.base_layer\.weight$/.exec(stored) ?? [];
  if (base !== undefined) return `${COPY}${canonicalName(base)}.weight`;
  if (OTHER_KINDS.test(stored)) {
    throw new SightlineError(
      'E_ADAPTER_UNSUPPORTED',
      `tensor "${stored}" belongs to an adapter of a kind that is not done here: plain LoRA of linear layers is read`,
      { where: path, hint: 'merge it with what made it, and give the result to --model' },
    );
  }
  return canonicalName(stored.replace(/\.modules_to_save(\.default)?\./, '.'));
}

// --- internal ---

/** DoRA, embeddings, biases of LoRA, trainable tokens, and whatever else begins as LoRA does. */
const OTHER_KINDS = /\.(lora_[^.]*|token_adapter|base_layer|original_module|ia3_l|hada_w\d_\w|vera_lambda_\w)(\.|$)/;
