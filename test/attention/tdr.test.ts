import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type AttentionTensor,
  isTdr,
  type TdrResult,
  tdrFromAttentions,
  tdrFromMasses,
  tdrSpans,
} from '../../src/attention/tdr.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

interface Case {
  name: string;
  prompt_ids: number[];
  completion_ids: number[];
  system_prefix_tokens: number;
  tdr: null | {
    tdr: number;
    rho_vis: number;
    rho_text: number;
    n_vis: number;
    n_text: number;
    per_token_vis: number[];
    per_token_text: number[];
  };
}

/** Rows of completion tokens (K, T, S), as the golden file stores them, in full (1, 1, S, S) tensors. */
function fullTensors(
  rows: Float32Array,
  [layers, tokens, size]: [number, number, number],
  first: number,
): AttentionTensor[] {
  return Array.from({ length: layers }, (_, layer) => {
    const data = new Float32Array(size * size).fill(Number.NaN); // prompt rows must never be read
    data.set(rows.subarray(layer * tokens * size, (layer + 1) * tokens * size), first * size);
    return { data, dims: [1, 1, size, size] };
  });
}

describe.each(goldenCheckpoints())('golden $name', ({ model, golden }) => {
  const config = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
  const { cases } = JSON.parse(readFileSync(join(golden, 'cases.json'), 'utf8')) as { cases: Case[] };
  const tensors = openSafetensors(join(golden, 'tensors.safetensors'));

  test('TDR and its parts agree within 1e-4 in every case', () => {
    let largest = 0;
    let defined = 0;
    for (const c of cases) {
      const entry = tensors.entries.get(`${c.name}.attention_mean_heads`)!;
      const [layers, tokens, size] = entry.shape as [number, number, number];
      const spans = tdrSpans(c.prompt_ids, c.system_prefix_tokens, c.completion_ids.length, [
        config.image_token_id,
        config.video_token_id,
      ]);
      const result = tdrFromAttentions(
        fullTensors(tensors.read(`${c.name}.attention_mean_heads`), [layers, tokens, size], spans.firstRow),
        spans,
      );
      expect(isTdr(result), c.name).toBe(c.tdr !== null);
      if (!isTdr(result) || c.tdr === null) continue;
      defined++;
      expect([result.nVis, result.nText], c.name).toEqual([c.tdr.n_vis, c.tdr.n_text]);
      expect(result.perTokenVis.length).toBe(c.tdr.per_token_vis.length);
      const errors = [
        result.tdr - c.tdr.tdr,
        result.rhoVis - c.tdr.rho_vis,
        result.rhoText - c.tdr.rho_text,
        ...c.tdr.per_token_vis.map((x, t) => x - result.perTokenVis[t]!),
        ...c.tdr.per_token_text.map((x, t) => x - result.perTokenText[t]!),
      ];
      for (const error of errors) largest = Math.max(largest, Math.abs(error));
    }
    console.log(`TDR: largest error ${largest.toExponential(2)} over ${defined} cases`);
    expect(defined).toBeGreaterThan(0);
    expect(largest).toBeLessThan(1e-4);
  });
});

describe('tdrFromAttentions', () => {
  const spans = tdrSpans([9, 1, 7, 7, 2], 1, 2, [7, 8]); // columns: 1 and 4 text, 2 and 3 visual; rows 5 and 6
  const size = 7;

  /** One layer of two heads; `weight(head, row, column)`. */
  const layer = (weight: (head: number, row: number, column: number) => number): AttentionTensor => ({
    data: Float32Array.from({ length: 2 * size * size }, (_, i) =>
      weight(Math.floor(i / size / size), Math.floor(i / size) % size, i % size),
    ),
    dims: [1, 2, size, size],
  });

  const tdrOf = (result: TdrResult) => (isTdr(result) ? result.tdr : result.undefined);

  test('is 1 for uniform attention, and ignores the system block and the completion', () => {
    const uniform = layer((_, __, column) => (column === 0 || column >= 5 ? 5 : 0.1));
    expect(tdrOf(tdrFromAttentions([uniform], spans))).toBeCloseTo(1, 4);
  });

  test('is the mean over heads before the prompt is renormalised, as computed by hand', () => {
    // Head 0 gives .2 to each visual column and .1 to each text one, head 1 gives .1 and .6.
    const two = layer((head, _, column) => ([2, 3].includes(column) ? [0.2, 0.1] : [0.1, 0.6])[head]!);
    const visual = 0.15 * 2;
    const text = 0.35 * 2;
    const rhoVis = visual / (visual + text + 1e-6) / 2;
    const rhoText = text / (visual + text + 1e-6) / 2;
    expect(tdrOf(tdrFromAttentions([two], spans))).toBeCloseTo(rhoText / (rhoVis + 1e-6), 5);
  });

  test('only the last 8 layers count', () => {
    const looks = layer((_, __, column) => ([2, 3].includes(column) ? 0.4 : 0.1));
    const reads = layer((_, __, column) => ([2, 3].includes(column) ? 0.1 : 0.4));
    expect(tdrFromAttentions([reads, reads, ...Array(8).fill(looks)], spans)).toEqual(
      tdrFromAttentions(Array(8).fill(looks), spans),
    );
    expect(tdrOf(tdrFromAttentions([reads, ...Array(7).fill(looks)], spans))).not.toBeCloseTo(0.25, 2);
  });

  test('a batch of several sequences is refused: which one is meant is not said', () => {
    const one = layer((_, __, column) => ([2, 3].includes(column) ? 0.4 : 0.1));
    const both: AttentionTensor = {
      data: Float32Array.from([...one.data.map(() => 0.5), ...one.data]),
      dims: [2, 2, size, size],
    };
    expect(() => tdrFromAttentions([both], spans)).toThrow(`have shape (2, 2, ${size}, ${size})`);
  });

  test('says why there is no value', () => {
    const any = layer(() => 0.1);
    expect(tdrFromAttentions([any], tdrSpans([9, 1, 2, 3, 4], 1, 2, [7]))).toEqual({ undefined: 'no visual tokens' });
    expect(tdrFromAttentions([any], tdrSpans([9, 7, 7, 7, 7], 1, 2, [7]))).toEqual({ undefined: 'no text tokens' });
    expect(tdrFromAttentions([any], tdrSpans([9, 1, 7], 1, 0, [7]))).toEqual({ undefined: 'empty completion' });
    expect(tdrFromAttentions([layer(() => Number.NaN)], spans)).toEqual({ undefined: 'attention is not finite' });
    expect(tdrFromAttentions([], spans)).toEqual({ undefined: 'no attention layers' });
  });

  test('refuses tensors that do not cover the sequence', () => {
    expect(() => tdrFromAttentions([{ data: new Float32Array(16), dims: [1, 1, 4, 4] }], spans)).toThrow(
      /\(1, 1, 4, 4\)/,
    );
  });

  test('masses that do not match are refused', () => {
    expect(() => tdrFromMasses({ visual: [new Float32Array(2)], text: [new Float32Array(3)] }, 2, 2)).toThrow(/length/);
    expect(() => tdrFromMasses({ visual: [new Float32Array(2)], text: [] }, 2, 2)).toThrow(/length/);
  });
});
