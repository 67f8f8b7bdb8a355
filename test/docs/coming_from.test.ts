/**
 * docs/coming_from.md about TRL: names and defaults are those of GRPOConfig (trl/make.py) and of the argument schema.
 */
import { expect, test } from 'vitest';
import { peerFlag } from '../../src/arguments/peers/index.ts';
import { rlhfWithEngines } from '../../src/arguments/reward_flags.ts';
import { readRepositoryFile } from '../helpers/repository.ts';

const page = readRepositoryFile('docs/coming_from.md').toString('utf8');
const { fields } = JSON.parse(readRepositoryFile('test/docs/trl/grpo_config.json').toString('utf8')) as {
  fields: Readonly<Record<string, unknown>>;
};
const { flags } = rlhfWithEngines();

/** A default as the page writes it: the declared one, or what the flag says of itself if that depends on other flags. */
function defaultHere(name: string): string {
  const { default: value, unset } = flags[name]!;
  return written(value ?? unset ?? null);
}

const written = (value: unknown): string =>
  value === null ? 'none' : String(value).replace('--tuner_type lora', 'LoRA');

const rows = [...page.matchAll(/^\| `(\w+)` \| `--(\w+)` \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, theirs, here, of, own]) => ({ theirs: theirs!, here: here!, of: of!, own: own! }),
);

/** Numbers in one notation. */
const plain = (text: string): string => (Number.isNaN(Number(text)) ? text : String(Number(text)));

test('the table has the defaults of both', () => {
  expect(rows.length).toBeGreaterThan(10);
  for (const { theirs, here, of, own } of rows) {
    expect([theirs, plain(of)]).toEqual([theirs, written(fields[theirs])]);
    expect([here, plain(own)]).toEqual([here, defaultHere(here)]);
  }
});

test('every other field of GRPOConfig is the same here, or is named', () => {
  const inTable = new Set(rows.map(({ theirs }) => theirs));
  const others = Object.entries(fields).filter(([name]) => !inTable.has(name) && !page.includes(`\`${name}`));
  const differing = others.filter(([name, value]) => {
    if (name in flags) return written(value) !== defaultHere(name) && value !== flags[name]!.default;
    return peerFlag(name) === null && !name.startsWith('vllm_');
  });
  expect(differing).toEqual([]);
});
