/**
 * ms-swift's special targets for LoRA in a multimodal model (`get_multimodal_target_regex`, `find_embedding` and `find_norm`
 * of ms-swift 4.6). `all-linear` means the linear layers of all parts that are not frozen. It becomes one pattern over module
 * paths, which adapter_config.json contains.
 */
import { treeName } from '../checkpoint/names.ts';
import type { ModelConfig } from '../models/architecture.ts';
import { isTable, linearLayers, modulePaths } from '../models/linear_layers.ts';
import { HEAD_LAYER, type ModelPart, partOf } from '../models/names.ts';
import { expectedTensors } from '../models/tensors.ts';

/** Path prefixes of the modules of each part. */
const ROOTS: Readonly<Record<ModelPart, readonly string[]>> = {
  llm: ['model.language_model'],
  vit: ['model.visual'],
  aligner: ['model.visual.merger', 'model.visual.deepstack_merger_list'],
};

/** The pattern of all linear layers in the parts that are not frozen. The patch embedding is a convolution, so it is not included. */
export function allLinearPattern(config: ModelConfig, freeze: Readonly<Record<ModelPart, boolean>>): string {
  const modules = [...modulePaths(config)].map(treeName);
  const linear = linearLayers(config).filter(({ name, patch }) => patch === null && name !== HEAD_LAYER);
  const parts = (['llm', 'vit', 'aligner'] as const).filter((part) => !freeze[part]);
  const patterns = parts.flatMap((part) =>
    ROOTS[part].flatMap((root) => {
      const own = linear.filter(({ name }) => partOf(name) === part).map(({ name }) => treeName(name));
      const below = own.filter((path) => path.startsWith(`${root}.`));
      if (below.length === 0) return [];
      const others = modules.filter(
        (path) => path.startsWith(`${root}.`) && !linear.some(({ name }) => treeName(name) === path),
      );
      const names = [...new Set(below.map((path) => ending(path, others)))];
      const rejected = part === 'vit' ? `(?!(${ROOTS.aligner.map(escaped).join('|')}))` : '';
      return [`${rejected}${escaped(root)}(?=\\.).*\\.(${names.map(escaped).join('|')})`];
    }),
  );
  return `^(${patterns.join('|')})$`;
}

/** Replaces `all-embedding` and `all-norm` by names of modules; keeps other names. */
export function moduleShorthands(names: readonly string[], config: ModelConfig): string[] {
  const vectors = [...expectedTensors(config)].filter(
    ([name, shape]) => shape.length === 1 && name.endsWith('.weight'),
  );
  const norms = vectors.map(([name]) => lastOf(name.replace(/\.weight$/, '')));
  const tables = [...modulePaths(config)].filter(isTable).map(lastOf);
  return [
    ...new Set(names.flatMap((name) => (name === 'all-embedding' ? tables : name === 'all-norm' ? norms : [name]))),
  ];
}

// --- internal ---

const escaped = (path: string): string => path.replaceAll('.', '\\.');

const lastOf = (path: string): string => path.split('.').at(-1)!;

/** The shortest end of a path, in whole names, that no other path ends in. */
function ending(path: string, others: readonly string[]): string {
  const parts = path.split('.');
  for (let count = 1; count < parts.length; count++) {
    const end = parts.slice(-count).join('.');
    if (!others.some((other) => other.endsWith(end))) return end;
  }
  return path;
}
