/**
 * Bundles the page of `sightline ui`, from `ui` into dist/ui/page: one script, one style sheet, no other files.
 */
import { copyFileSync } from 'node:fs';
import { build } from 'esbuild';

const target = 'dist/ui/page';
await build({
  entryPoints: { app: 'ui/main.tsx' },
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
