/**
 * Tensor names. The published layout is canonical; the nested layout of transformers' module tree is translated to it, and
 * the name parts that training wrappers add are removed.
 * Knows prefixes only, not which tensors a model has.
 */

/**
 * Canonical name of a stored tensor:
 * `model.language_model.X` and `language_model.model.X` -> `model.X`, `model.visual.X` -> `visual.X`,
 * `language_model.lm_head.X` -> `lm_head.X`; other names are canonical already. Name parts of wrappers are removed first.
 */
export function canonicalName(storedName: string): string {
  const name = withoutWrappers(storedName);
  for (const [stored, canonical] of PREFIXES) {
    if (name.startsWith(stored)) return canonical + name.slice(stored.length);
  }
  return name;
}

/**
 * A stored name without the parts that torch.compile, FSDP, activation checkpointing, DataParallel and PEFT add: the name
 * under which transformers would have saved the tensor.
 */
export function withoutWrappers(storedName: string): string {
  const parts = storedName.split('.').filter((part) => !ANYWHERE.has(part));
  let start = 0;
  for (;;) {
    if (parts[start] === 'module') start += 1;
    else if (parts[start] === 'base_model' && parts[start + 1] === 'model') start += 2;
    else return parts.slice(start).join('.');
  }
}

/** A canonical name as transformers has it in memory since 4.52, below `model`: what PEFT and ms-swift call a module or tensor. */
export function treeName(canonical: string): string {
  if (canonical.startsWith('visual.') || canonical === 'visual') return `model.${canonical}`;
  if (canonical.startsWith('model.')) return `model.language_model.${canonical.slice('model.'.length)}`;
  return canonical === 'model' ? 'model.language_model' : canonical;
}

// --- internal ---

/** The second spelling is that of transformers 4.45-4.51 checkpoints whose language model was a submodule. */
const PREFIXES: readonly (readonly [stored: string, canonical: string])[] = [
  ['model.language_model.', 'model.'],
  ['language_model.model.', 'model.'],
  ['language_model.lm_head.', 'lm_head.'],
  ['model.visual.', 'visual.'],
];

/** Wrappers of single layers (torch.compile, FSDP, activation checkpointing), which may occur anywhere in a name. */
const ANYWHERE: ReadonlySet<string> = new Set(['_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module']);
