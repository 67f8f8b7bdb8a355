/**
 * docs/schema: current, and of one mind with the program about every value of every flag.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Flag } from '../../src/arguments/flag.ts';
import { checkValue } from '../../src/arguments/value.ts';
import { configSchema, configSchemaText } from '../helpers/config_schema.ts';
import { documentedCommands } from '../helpers/flags_document.ts';

describe.each(documentedCommands.map((spec) => [spec.name, spec] as const))('docs/schema/%s.json', (name, spec) => {
  const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(configSchema(spec))));

  test('is what the argument schema says', async () => {
    await expect(configSchemaText(spec)).toMatchFileSnapshot(`../../docs/schema/${name}.json`);
  });

  test('takes and refuses what the program does', () => {
    const samples = [
      ...[-3, -1, 0, 0.5, 1, 1.5, 2, 64, 1e9, true, false, '', 'x', 'no', 'yes', [], ['x'], [1], {}, { a: 1 }],
      ...Object.values(spec.flags).flatMap(({ shape, default: value }) => [
        value,
        ...(shape.kind === 'choice' ? [...shape.choices, ...Object.keys(shape.spellings ?? {})] : []),
        ...(shape.kind === 'boolean' ? Object.keys(shape.spellings ?? {}) : []),
      ]),
    ].filter((value) => value !== undefined && value !== null);
    const differing = Object.entries(spec.flags).flatMap(([flagName, flag]) =>
      samples.flatMap((value) => {
        const program = checkValue(value, flag as Flag<unknown>).ok;
        return schema.safeParse({ [flagName]: value }).success === program ? [] : [[flagName, value, program]];
      }),
    );
    expect(differing).toEqual([]);
  });

  test('takes remarks and nulls, and refuses names that are no flags', () => {
    expect(
      schema.safeParse({ _remark: {}, [Object.keys(spec.flags)[0]!]: null, vllm_mode: 'x', bf16: true }).success,
    ).toBe(true);
    expect(schema.safeParse({ modle: 'x' }).success).toBe(false);
  });
});

test('an args.json of ms-swift holds nothing that the schema does not know, but for what it says of its run', () => {
  const args = JSON.parse(readFileSync(new URL('../arguments/ms_swift/args.json', import.meta.url), 'utf8')) as Record<
    string,
    unknown
  >;
  const rlhf = documentedCommands.find(({ name }) => name === 'rlhf')!;
  const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(configSchema(rlhf))));
  const unknown = Object.keys(args).filter((name) => !schema.safeParse({ [name]: null }).success);
  expect(unknown.sort()).toEqual([
    'ckpt_dir',
    'evaluation_strategy',
    'global_world_size',
    'hub',
    'local_world_size',
    'model_dir',
    'model_info',
    'model_meta',
    'model_suffix',
    'rank',
    'swift_version',
    'template_meta',
    'training_args',
  ]);
});
