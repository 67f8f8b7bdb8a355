/**
 * Bundles the page of `sightline ui` and that of `sightline infer --attention`, from `ui` into dist/ui/page: one script and one style
 * sheet each.
 */
import { copyFileSync } from 'node:fs';
import { build } from 'esbuild';

const target = 'dist/ui/page';
await build({
  entryPoints: { app: 'ui/main.tsx', attention_page: 'ui/attention_page.ts' },
  outdir: target,
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome110', 'firefox115', 'safari16'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'eof',
  logLevel: 'warning',
});
for (const name of ['index.html', 'icon.svg']) copyFileSync(`ui/${name}`, `${target}/${name}`);
