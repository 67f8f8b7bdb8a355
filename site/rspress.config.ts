/**
 * The site: `npm run docs` builds the pages of docs/ into site/dist. Nothing in it is loaded from another host.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from '@rspress/core';
import { leadsToRepository, repositoryLinks } from './repository_links.ts';
import { groups } from './sidebar.ts';

const docs = fileURLToPath(new URL('../docs', import.meta.url));

const named = groups.flatMap(({ pages }) => pages.map(({ file }) => file));
const unnamed = readdirSync(docs)
  .filter((name) => name.endsWith('.md'))
  .map((name) => name.slice(0, -'.md'.length))
  .filter((file) => file !== 'index' && !named.includes(file));
if (unnamed.length > 0) throw new Error(`pages of docs/ that site/sidebar.ts does not name: ${unnamed.join(', ')}`);

export default defineConfig({
  root: docs,
  outDir: fileURLToPath(new URL('./dist', import.meta.url)),
  lang: 'en',
  title: 'sightline',
  description: 'GRPO for vision-language models in which attention is a first-class signal.',
  icon: new URL('../ui/icon.svg', import.meta.url),
  globalStyles: fileURLToPath(new URL('./style.css', import.meta.url)),
  markdown: {
    link: { checkDeadLinks: { excludes: leadsToRepository } },
    remarkPlugins: [repositoryLinks],
  },
  themeConfig: {
    sidebar: {
      '/': groups.map(({ text, pages }) => ({
        text,
        items: pages.map((page) => ({ text: page.text, link: `/${page.file}` })),
      })),
    },
  },
});
