/**
 * Reads grpo.json of the golden checkpoints for the tests of the GRPO mathematics.
 * Knows the file's fields, not what they are compared with.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImportanceSamplingLevel } from '../../src/grpo/loss.ts';
import type { LossType } from '../../src/grpo/policy_term.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';

export interface GoldenGrpo {
  readonly num_generations: number;
  readonly rewards: number[];
  readonly advantages: number[];
  readonly per_token_logps: number[][];
  readonly entropies: number[][];
  readonly old_per_token_logps: number[][];
  readonly ref_per_token_logps: number[][];
  readonly max_completion_length: number;
  readonly results: {
    readonly loss_type: LossType;
    readonly importance_sampling_level: ImportanceSamplingLevel;
    readonly beta: number;
    readonly loss: number;
    readonly metrics: Record<string, number>;
  }[];
}

export function goldenGrpo(): { name: string; golden: GoldenGrpo }[] {
  return goldenCheckpoints().map(({ name, golden }) => ({
    name,
    golden: JSON.parse(readFileSync(join(golden, 'grpo.json'), 'utf8')) as GoldenGrpo,
  }));
}

export function float64(rows: readonly number[][]): Float64Array[] {
  return rows.map((row) => Float64Array.from(row));
}
