/**
 * The published golden checkpoint in the shapes that people have: other configs, other names and dtypes of tensors, other
 * files. The reference values of these shapes lie beside, in transformers/expected.json.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import type { SafetensorsDtype } from '../../src/checkpoint/safetensors_grammar.ts';
import { scratch } from './scratch.ts';

/** Of the repository, whatever SIGHTLINE_GOLDEN says: the reference values are of this one. */
const PUBLISHED = fileURLToPath(new URL('../golden/published/model', import.meta.url));

type Logps = readonly number[];

export const expected: {
  readonly tie: {
    readonly ids: readonly number[];
    readonly cases: readonly {
      readonly top: boolean | null;
      readonly text: boolean | 'absent' | null;
      readonly head: 'other' | 'equal' | 'absent';
      readonly tied: boolean;
      readonly logps: Logps | null;
    }[];
  };
  readonly sizes: {
    readonly image: readonly [number, number];
    readonly cases: readonly { readonly fields: Record<string, unknown>; readonly grid: readonly number[] | null }[];
  };
  readonly slow: {
    readonly texts: readonly string[];
    readonly cases: Readonly<
      Record<
        string,
        {
          readonly files: readonly string[];
          readonly changes: Readonly<Record<string, unknown>>;
          readonly added: Readonly<Record<string, readonly [content: string, special: boolean]>>;
          readonly ids: readonly (readonly number[])[];
        }
      >
    >;
  };
} = JSON.parse(readFileSync(new URL('./transformers/expected.json', import.meta.url), 'utf8'));

export interface VariantTensor {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface Variant {
  readonly config?: (config: Record<string, unknown>) => Record<string, unknown>;
  readonly tensors?: (tensors: Map<string, VariantTensor>) => Map<string, VariantTensor>;
  /** Files to write (objects as JSON), or to leave out. */
  readonly files?: Readonly<Record<string, unknown>>;
}

/** A folder as the golden checkpoint, but for these changes; its weights in one file. */
export async function variant({ config, tensors, files = {} }: Variant): Promise<string> {
  const dir = join(scratch(), 'model');
  mkdirSync(dir);
  for (const name of readdirSync(PUBLISHED)) {
    if (!name.includes('.safetensors')) cpSync(join(PUBLISHED, name), join(dir, basename(name)));
  }
  const published = publishedTensors();
  const stored: TensorToWrite[] = [...(tensors?.(published) ?? published)].map(([name, { dtype, shape, bytes }]) => ({
    name,
    dtype,
    shape,
    chunks: () => [bytes],
  }));
  await writeSafetensors(join(dir, 'model.safetensors'), stored);
  const original = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config?.(original) ?? original));
  for (const [name, content] of Object.entries(files)) {
    if (content === null) rmSync(join(dir, name));
    else writeFileSync(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return dir;
}

/** `config` with the flag of the head at the top, and in a text_config beside it: as `with_ties` of transformers/make.py. */
export function withTies(
  { tie_word_embeddings: _, ...config }: Record<string, unknown>,
  top: boolean | null,
  text: boolean | 'absent' | null,
): Record<string, unknown> {
  const flagged = top === null ? {} : { tie_word_embeddings: top };
  if (text === null) return { ...config, ...flagged };
  const outer = Object.entries(config).filter(([name]) => OUTER.has(name));
  const inner = Object.entries(config).filter(([name]) => !OUTER.has(name));
  return {
    ...Object.fromEntries(outer),
    text_config: {
      ...Object.fromEntries(inner),
      model_type: 'qwen2_5_vl_text',
      ...(text === 'absent' ? {} : { tie_word_embeddings: text }),
    },
    ...flagged,
  };
}

// --- internal ---

const OUTER: ReadonlySet<string> = new Set([
  'architectures',
  'model_type',
  'vision_config',
  'image_token_id',
  'video_token_id',
  'vision_start_token_id',
  'vision_end_token_id',
]);

function publishedTensors(): Map<string, VariantTensor> {
  const checkpoint = openCheckpoint(PUBLISHED);
  try {
    return new Map(
      [...checkpoint.tensors.values()].map(({ name, storedName, dtype, shape }) => [
        storedName,
        { dtype, shape, bytes: checkpoint.readRaw(name) },
      ]),
    );
  } finally {
    checkpoint.close();
  }
}
