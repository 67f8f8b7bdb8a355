/**
 * The order of parameters against `named_parameters()` of transformers (transformers/parameter_order.py).
 */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { treeName } from '../../src/checkpoint/names.ts';
import { parameterOrder } from '../../src/models/parameter_order.ts';
import { readConfig } from '../../src/models/registry.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { readJson } from '../helpers/golden_values.ts';

const reference = readJson<Record<string, string[]>>(
  fileURLToPath(new URL('transformers/parameter_order.json', import.meta.url)),
);

test.each(goldenCheckpoints().filter(({ name }) => name in reference))('$name', async ({ name, model }) => {
  expect(parameterOrder(await readConfig(model)).map(treeName)).toEqual(reference[name]);
});
