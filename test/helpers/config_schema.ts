/**
 * docs/schema/*.json as text: JSON Schema of a configuration file for each command, for editors.
 * Knows the argument schema and JSON Schema (draft 2020-12); knows no flag by name.
 */
import type { CommandSpec } from '../../src/arguments/command.ts';
import type { Flag, Shape } from '../../src/arguments/flag.ts';
import { peerFlagFamilies, peerFlagNames } from '../../src/arguments/peers/index.ts';

export interface JsonSchema {
  readonly [key: string]: unknown;
}

/** What a configuration file of a command may hold. */
export function configSchema({ name, summary, flags }: CommandSpec): JsonSchema {
  const properties = Object.entries(flags).flatMap(([flagName, flag]) =>
    [flagName, ...(flag.aliases ?? [])].map((each) => [each, flagSchema(flagName, flag, each)] as const),
  );
  const own = new Set(properties.map(([each]) => each));
  const others = [
    ...peerFlagNames().filter((each) => !own.has(each)),
    ...peerFlagFamilies().map((each) => `${each}.*`),
  ];
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `sightline ${name}`,
    description: `${summary}. Made from the argument schema by npx vitest run test/docs -u.`,
    type: 'object',
    properties: Object.fromEntries(properties),
    patternProperties: {
      // remarks
      '^_': {},
      // what ms-swift and transformers have: taken or refused by the program, each with its reason (docs/flags.md)
      [`^(${others.join('|')})$`]: {},
    },
    additionalProperties: false,
  };
}

/** A file of `docs/schema`. */
export function configSchemaText(spec: CommandSpec): string {
  return `${JSON.stringify(configSchema(spec), null, 2)}\n`;
}

// --- internal ---

function flagSchema(name: string, flag: Flag<unknown>, spelling: string): JsonSchema {
  const one = shapeSchema(flag.shape);
  const values = flag.many ? [one, { type: 'array', items: one }] : [one];
  const unit = flag.unit === undefined ? '' : ` Unit: ${flag.unit}.`;
  const unset = flag.default === null && flag.unset !== undefined ? ` Default: ${flag.unset}.` : '';
  return {
    description: spelling === name ? `${flag.help}${unit}${unset}` : `The same as ${name}.`,
    // null stands for the default, as in the args.json of ms-swift
    anyOf: [...values, { type: 'null' }],
    ...(flag.default === undefined || spelling !== name ? {} : { default: flag.default }),
  };
}

function shapeSchema(shape: Shape): JsonSchema {
  switch (shape.kind) {
    case 'number': {
      const { min, max, above, below } = shape;
      const bounds = { minimum: min, maximum: max, exclusiveMinimum: above, exclusiveMaximum: below };
      return { type: shape.integer ? 'integer' : 'number', ...bounds };
    }
    case 'boolean':
      return shape.spellings === undefined
        ? { type: 'boolean' }
        : { enum: [true, false, ...Object.keys(shape.spellings)] };
    case 'text':
      return shape.empty ? { type: 'string' } : { type: 'string', minLength: 1 };
    case 'object':
      return { type: 'object' };
    case 'choice':
      return {
        enum: [
          ...shape.choices,
          ...Object.keys(shape.spellings ?? {}),
          // true and false are taken for the words
          ...[true, false].filter((value) => shape.choices.includes(String(value))),
        ],
      };
  }
}
