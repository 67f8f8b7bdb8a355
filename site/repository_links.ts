/**
 * Links of pages that lead out of docs/, to sources and to the README, which the site does not have: their paths are
 * shown instead. Knows where the repository is; knows nothing of pages.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Link, Parent, Root } from 'mdast';

const docs = new URL('../docs/', import.meta.url);
const root = new URL('../', import.meta.url);

/** The path in the repository of the file that a link of a page names, if it exists and is no page of the site; else null. */
function pathInRepository(url: string): string | null {
  if (/^([a-z]+:|#|\/)/.test(url)) return null;
  const target = new URL(url, docs);
  const file = fileURLToPath(new URL(target.pathname, target));
  if (!existsSync(file) || !file.startsWith(fileURLToPath(root))) return null;
  const isPage = file.startsWith(fileURLToPath(docs)) && file.endsWith('.md');
  return isPage ? null : file.slice(fileURLToPath(root).length);
}

/** Whether a link is shown as a path; the check for dead links leaves it out. */
export const leadsToRepository = (url: string): boolean => pathInRepository(url) !== null;

/** A remark plugin. A link whose text is the path already becomes code, another one is followed by the path. */
export const repositoryLinks = () => (tree: Root) => {
  const visit = (parent: Parent): void => {
    parent.children = parent.children.flatMap((child): Parent['children'] => {
      const path = child.type === 'link' ? pathInRepository(child.url) : null;
      if (path !== null) return shown(child as Link, path);
      if ('children' in child) visit(child);
      return [child];
    });
  };
  visit(tree);
};

function shown({ children }: Link, path: string): Link['children'] {
  const code = { type: 'inlineCode', value: path } as const;
  const text = children.map((child) => ('value' in child ? child.value : '')).join('');
  return path.endsWith(text)
    ? [code]
    : [...children, { type: 'text', value: ' (' }, code, { type: 'text', value: ')' }];
}
