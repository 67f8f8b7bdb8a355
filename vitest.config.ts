import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { CountsReporter } from './test/reporters/counts.ts';

const tests = readdirSync(new URL('./test', import.meta.url), { recursive: true, encoding: 'utf8' })
  .map((path) => `test/${path.replaceAll('\\', '/')}`)
  .filter((path) => path.endsWith('.test.ts'));

/** What `npm run test:golden` runs: every test that reads the golden checkpoints, which SIGHTLINE_GOLDEN can replace. */
const golden = tests.filter(
  (path) =>
    path.endsWith('.golden.test.ts') ||
    /from '[^']*golden[^']*'/.test(readFileSync(new URL(path, import.meta.url), 'utf8')),
);

export default defineConfig({
  resolve: { alias: { sightline: fileURLToPath(new URL('./src/index.ts', import.meta.url)) } },
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: golden } },
      { extends: true, test: { name: 'golden', include: golden } },
    ],
    reporters: ['default', new CountsReporter()],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
