/**
 * The requests of the reward server and their validation.
 * Knows shapes and sizes, neither HTTP nor rewards.
 */
import { z } from 'zod';
import type { AttentionMasses } from '../attention/tdr.ts';
import { SightlineError } from '../errors.ts';
import { shownJson } from '../util/json.ts';

const count = z
  .number()
  .int()
  .min(0)
  .max(2 ** 31);
const ids = z.array(count);
const row = z.record(z.string(), z.unknown());

/** An image as the policy sees it: its grid [t, h, w] in patches. */
const image = z.strictObject({
  grid_thw: z.tuple([count, count, count]),
  patch_size: count.min(1),
});

/** Attention masses [layers, completion tokens] as base64 of little-endian float32. */
const masses = z.strictObject({ layers: count.max(4096), visual: z.base64(), text: z.base64() });

const makeShape = z.strictObject({ reward: z.string().min(1), args: row });

const judgeShape = z.strictObject({
  reward: z.string().min(1),
  /** All lists have one entry per completion. The `num_generations` completions of a prompt are consecutive. */
  completions: z.array(z.string()).min(1),
  num_generations: count.min(1),
  step: count,
  max_steps: count,
  /** Rows as in a dataset: `messages` without the completion, `images`, and all other columns. */
  rows: z.array(row),
  prompt_ids: z.array(ids),
  completion_ids: z.array(ids),
  system_prefix: z.array(count),
  images: z.array(z.array(image)),
  image_token_id: z.number().int(),
  video_token_id: z.number().int(),
  /** Null if the reward does not declare that it needs them. */
  attention_masses: z.array(masses.nullable()).nullable(),
});

const encodeShape = z.strictObject({
  model: z.string().min(1),
  min_pixels: count.min(1).nullable(),
  max_pixels: count.min(1).nullable(),
  rows: z.array(row).min(1).max(1024),
});

export type MakeRequest = z.infer<typeof makeShape>;
export type EncodeRequest = z.infer<typeof encodeShape>;
export type JudgeRequest = Omit<z.infer<typeof judgeShape>, 'attention_masses'> & {
  readonly attention_masses: readonly (AttentionMasses | null)[] | null;
};

export function parseMakeRequest(body: unknown): MakeRequest {
  return checked(makeShape, body);
}

export function parseEncodeRequest(body: unknown): EncodeRequest {
  return checked(encodeShape, body);
}

/** Error: E_REQUEST, which names the field, its value and what is expected. */
export function parseJudgeRequest(body: unknown): JudgeRequest {
  const request = checked(judgeShape, body);
  const samples = request.completions.length;
  for (const name of ['rows', 'prompt_ids', 'completion_ids', 'system_prefix', 'images', 'attention_masses'] as const) {
    const list = request[name];
    if (list !== null && list.length !== samples) {
      throw fault(`"${name}" has ${list.length} entries for ${samples} completions`, 'send one entry per completion');
    }
  }
  const late = request.system_prefix.findIndex((prefix, i) => prefix > request.prompt_ids[i]!.length);
  if (late >= 0) {
    throw fault(
      `"system_prefix" ${late} is ${request.system_prefix[late]}, but its prompt has ${request.prompt_ids[late]!.length} tokens`,
      'send the number of tokens of the system block at the start of the prompt',
    );
  }
  return {
    ...request,
    attention_masses:
      request.attention_masses?.map((of, i) =>
        of === null ? null : massesOf(of, request.completion_ids[i]!.length, i),
      ) ?? null,
  };
}

// --- internal ---

function massesOf(of: z.infer<typeof masses>, rows: number, sample: number): AttentionMasses {
  return {
    visual: layersOf(of.visual, of.layers, rows, `"attention_masses" ${sample} visual`),
    text: layersOf(of.text, of.layers, rows, `"attention_masses" ${sample} text`),
  };
}

function layersOf(base64: string, layers: number, rows: number, name: string): Float32Array[] {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length !== 4 * layers * rows) {
    throw fault(
      `${name} has ${bytes.length} bytes, expected ${4 * layers * rows} for ${layers} layers of ${rows} rows`,
      'send float32 values layer by layer, one per completion token',
    );
  }
  return Array.from({ length: layers }, (_, layer) =>
    Float32Array.from({ length: rows }, (_, t) => bytes.readFloatLE(4 * (layer * rows + t))),
  );
}

function checked<T>(shape: z.ZodType<T>, body: unknown): T {
  const result = shape.safeParse(body);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const place = path.length === 0 ? 'the request' : `"${path.map(String).join('.')}"`;
  const value = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], body);
  throw fault(
    `${place} is ${shownJson(value, 60)}: ${message}`,
    'the plugin and the server must have the same version of sightline',
  );
}

function fault(message: string, hint: string): SightlineError {
  return new SightlineError('E_REQUEST', message, { where: 'request', hint });
}
