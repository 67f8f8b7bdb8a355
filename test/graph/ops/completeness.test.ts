/**
 * Every file of ops has its suite; the suite itself fails where an exported op has no case.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const opsFolder = fileURLToPath(new URL('../../../src/graph/ops', import.meta.url));
const families = readdirSync(opsFolder)
  .filter((file) => file !== 'define.ts')
  .map((file) => file.replace(/\.ts$/, ''));

test.each(families)('%s has a suite over all it exports', (family) => {
  const suite = readFileSync(new URL(`./${family}.test.ts`, import.meta.url), 'utf8');
  expect(suite).toContain(`import * as ops from '../../../src/graph/ops/${family}.ts';`);
  expect(suite).toMatch(/^describeOps\(\n\s+ops,/m);
});
