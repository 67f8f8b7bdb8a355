/**
 * Switches a model's attention to `eager` for one block and puts back what was there, and finds the model under its wrappers.
 * Knows the names under which configs keep the choice; knows nothing of rewards or of what the block computes.
 */
import { SightlineError } from '../errors.ts';

/** Where checkpoints of different origin keep the attention implementation (names as in transformers and ms-swift). */
export const AttnImpl = {
  attn_impl_keys: ['_attn_implementation', 'attn_implementation', 'llm_attn_implementation'],
} as const;

export type AttnImplKey = (typeof AttnImpl.attn_impl_keys)[number];

/** A model config as transformers writes it: attributes by name, the decoder's own ones under `text_config`. */
export interface ConfigAttributes {
  [key: string]: unknown;
  text_config?: ConfigAttributes | null;
}

/** The objects of a config that carry an attention choice: the config itself and, where present, its `text_config`. */
export function attentionConfigs(config: ConfigAttributes): ConfigAttributes[] {
  const text = config.text_config;
  return text && text !== config ? [config, text] : [config];
}

/**
 * Sets `eager` on `config` and `config.text_config` for every key of `AttnImpl.attn_impl_keys` that the object has; a key
 * that is absent stays absent. Everything is read before anything is written, because in some configs writing the
 * outer key writes the inner one too.
 *
 * @returns puts every saved value back; calling it twice does nothing more.
 */
export function switchAttention(config: ConfigAttributes): () => void {
  const saved: { object: ConfigAttributes; key: AttnImplKey; value: unknown }[] = [];
  for (const object of attentionConfigs(config)) {
    for (const key of AttnImpl.attn_impl_keys) if (key in object) saved.push({ object, key, value: object[key] });
  }
  let restored = false;
  const restore = () => {
    if (restored) return;
    restored = true;
    let fault: { error: unknown } | undefined;
    // Outer first: if the outer setter writes through to text_config, the inner value still comes last.
    for (const { object, key, value } of saved) {
      try {
        object[key] = value;
      } catch (error) {
        fault ??= { error }; // the other keys must be put back all the same
      }
    }
    if (fault) throw fault.error;
  };
  try {
    for (const { object, key } of saved) object[key] = 'eager';
  } catch (error) {
    restore();
    throw error;
  }
  return restore;
}

/** Blocks now running per config, so that overlapping ones share one switch. */
const open = new WeakMap<ConfigAttributes, { blocks: number; restore: () => void }>();

/**
 * Runs `block` with `model.config` switched to eager attention and restores the config right after it, on success and on
 * error alike. Pass the unwrapped model: its config must be the one that takes part in the forward.
 *
 * Blocks on the same config may overlap in time (rewards are awaited together): the first one in switches, the last one
 * out restores. Saving twice instead would save `eager` and leave it behind. A forward that is not inside such a block
 * but runs at the same time sees `eager` as well, so the trainer runs none while rewards are pending.
 */
export async function withEagerAttention<T>(
  model: { readonly config: ConfigAttributes },
  block: () => T | Promise<T>,
): Promise<T> {
  const { config } = model;
  let state = open.get(config);
  if (state === undefined) {
    state = { blocks: 0, restore: switchAttention(config) };
    open.set(config, state);
  }
  state.blocks++;
  try {
    return await block();
  } finally {
    if (--state.blocks === 0) {
      open.delete(config);
      state.restore();
    }
  }
}

/** What a wrapped policy must turn out to be: something with a config and a forward. */
export interface BareModel {
  readonly config: ConfigAttributes;
  forward(...args: never[]): unknown;
}

/**
 * The model inside its wrappers, in any nesting: `.module` (data parallel), `.base_model.model` (PEFT), a `unwrap_model()`
 * method of the object itself, or of an `accelerator` handed in.
 *
 * @throws SightlineError E_MODEL_WRAPPER if the wrappers form a cycle or nothing with `config` and `forward` is inside.
 */
export function unwrapModel<M extends BareModel>(
  wrapped: unknown,
  accelerator?: { unwrap_model(model: unknown): unknown },
): M {
  let model: unknown = accelerator ? accelerator.unwrap_model(wrapped) : wrapped;
  const seen = new Set<unknown>();
  for (;;) {
    if (seen.has(model)) {
      throw new SightlineError(
        'E_MODEL_WRAPPER',
        'the policy is wrapped in a cycle: unwrapping it comes back to itself',
        {
          hint: 'check .module, .base_model.model and unwrap_model() of the model handed to the reward',
        },
      );
    }
    seen.add(model);
    const inner = innerModel(model);
    if (inner === undefined) break;
    model = inner;
  }
  if (!isBareModel<M>(model)) {
    throw new SightlineError('E_MODEL_WRAPPER', `no model with "config" and "forward" inside ${describe(wrapped)}`, {
      hint: 'hand the reward the policy itself, or a wrapper with .module, .base_model.model or unwrap_model()',
    });
  }
  return model;
}

// --- internal ---

/** One layer of wrapping removed, or undefined if this is the model. */
function innerModel(model: unknown): unknown {
  if (!isObject(model)) return undefined;
  if (isObject(model.module)) return model.module;
  // transformers models have a base_model too, but theirs is the headless model and has no model inside.
  if (isObject(model.base_model) && isObject(model.base_model.model) && model.base_model !== model.model) {
    return model.base_model.model;
  }
  if (typeof model.unwrap_model === 'function') return model.unwrap_model();
  return undefined;
}

function isBareModel<M extends BareModel>(model: unknown): model is M {
  return isObject(model) && isObject(model.config) && typeof model.forward === 'function';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function describe(value: unknown): string {
  return isObject(value) ? `an object of type ${value.constructor?.name ?? 'Object'}` : String(value);
}
