/**
 * The reference conversations of a golden checkpoint and its tensors, as plain data for the tests of this folder.
 * Knows the golden files' form; checks nothing itself.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentPart, Message } from '../../src/data/messages.ts';
import type { GoldenCheckpoint } from '../helpers/golden.ts';

export interface GoldenCase {
  readonly name: string;
  readonly messages: (Omit<Message, 'content'> & { content: string | ContentPart[] })[];
  readonly text: string;
  readonly prompt_ids: number[];
  readonly completion_ids: number[];
  readonly image_grid_thw: [number, number, number][] | null;
  readonly rope_delta: number;
  readonly system_prefix_tokens: number;
  readonly tdr: { n_vis: number; n_text: number } | null;
}

export function goldenCases(checkpoint: GoldenCheckpoint): GoldenCase[] {
  const parsed: { cases: GoldenCase[] } = JSON.parse(readFileSync(join(checkpoint.golden, 'cases.json'), 'utf8'));
  return parsed.cases;
}

/** File names of a case's images, in order. */
export function imageNames(golden: GoldenCase): string[] {
  return golden.messages.flatMap(({ content }) =>
    typeof content === 'string' ? [] : content.flatMap((part) => (part.type === 'image' ? [String(part.image)] : [])),
  );
}

/** A tensor of golden/tensors.safetensors: header length (u64), JSON header, data. */
export function goldenTensor(
  checkpoint: GoldenCheckpoint,
  name: string,
): { data: Float32Array | Int32Array; shape: number[] } {
  const bytes = readFileSync(join(checkpoint.golden, 'tensors.safetensors'));
  const length = Number(bytes.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    bytes.toString('utf8', 8, 8 + length),
  );
  const entry = header[name];
  if (entry === undefined) throw new Error(`no golden tensor ${name}`);
  const [begin, end] = entry.data_offsets;
  const data = Uint8Array.from(bytes.subarray(8 + length + begin, 8 + length + end)).buffer;
  return { data: entry.dtype === 'I32' ? new Int32Array(data) : new Float32Array(data), shape: entry.shape };
}
