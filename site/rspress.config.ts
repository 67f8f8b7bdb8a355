/**
 * The site: `npm run docs` builds the pages of docs/ into site/dist. Nothing in it is loaded from another host.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from '@rspress/core';
import { leadsToRepository, repositoryLinks } from './repository_links.ts';
import { groups } from './sidebar.ts';

const docs = fileURLToPath(new URL('../docs', import.meta.url));

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
