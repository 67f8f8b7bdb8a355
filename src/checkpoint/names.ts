/**
 * Tensor names: the published layout is canonical, the nested one of transformers' module tree is translated.
 * Knows prefixes only, not which tensors a model has.
 */

/**
 * Canonical name of a stored tensor:
 * `model.language_model.X` and `language_model.model.X` -> `model.X`, `model.visual.X` -> `visual.X`,
 * `language_model.lm_head.X` -> `lm_head.X`; the rest is canonical already.
 */
export function canonicalName(storedName: string): string {
  for (const [stored, canonical] of PREFIXES) {
    if (storedName.startsWith(stored)) return canonical + storedName.slice(stored.length);
  }
  return storedName;
}

// --- internal ---

/** The second spelling is that of transformers 4.45-4.51 checkpoints whose language model was a submodule. */
const PREFIXES: readonly (readonly [stored: string, canonical: string])[] = [
  ['model.language_model.', 'model.'],
  ['language_model.model.', 'model.'],
  ['language_model.lm_head.', 'lm_head.'],
  ['model.visual.', 'visual.'],
];
