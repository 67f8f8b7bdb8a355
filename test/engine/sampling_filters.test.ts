/**
 * What sampling draws after its filters, against the processors of transformers (test/golden/make/sampling.py), and that the
 * filters leave log-probabilities as they are.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { drawSettings } from '../../src/engine/drawn_tokens.ts';
import { newRows, writePenalties } from '../../src/engine/live_rows.ts';
import { samplingHead } from '../../src/engine/sampling.ts';
import { compileModule } from '../../src/runtime/compiled_module.ts';
import { floats, zeros } from '../../src/runtime/tensor.ts';
import { createRandom } from '../../src/util/random.ts';

const values = JSON.parse(readFileSync(new URL('sampling.json', import.meta.url), 'utf8')) as {
  readonly logits: readonly number[];
  readonly seen: readonly number[];
  readonly cases: readonly {
    readonly temperature: number;
    readonly repetition_penalty: number;
    readonly top_k: number;
    readonly top_p: number;
    readonly min_p: number;
    readonly probabilities: readonly number[];
  }[];
};
const vocabSize = values.logits.length;
/** Draws at equal distances. A token of probability p is drawn by p * DRAWS of them, but for its two ends. */
const DRAWS = 4096;

describe('the distribution that is drawn from', () => {
  test.each(values.cases)(
    'temperature $temperature, penalty $repetition_penalty, top_k $top_k, top_p $top_p, min_p $min_p',
    async (which) => {
      const settings = drawSettings(
        {
          temperature: which.temperature,
          topK: which.top_k,
          topP: which.top_p,
          minP: which.min_p,
          repetitionPenalty: which.repetition_penalty,
          bannedIds: [],
        },
        vocabSize,
        false,
      );
      const module = compileModule(samplingHead({ hiddenSize: 1, vocabSize, rmsNormEps: 0 }, settings.head, 'right'));
      const penalty = zeros(DRAWS, vocabSize);
      const rows = newRows(1, DRAWS, createRandom(1));
      for (const row of rows) row.ids.push(...values.seen.slice(2));
      const prompt = Int32Array.from(values.seen.slice(0, 2));
      writePenalties(penalty.data, rows, [prompt], { vocabSize, penalty: settings.repetitionPenalty });
      const made = await module.forward({
        'norm.weight': floats(Float32Array.of(1), [1]),
        'head.weight': floats(Float32Array.from(values.logits), [vocabSize, 1]),
        hidden: floats(new Float32Array(DRAWS).fill(1), [DRAWS, 1]),
        banned: settings.banned,
        uniform: floats(
          Float32Array.from({ length: DRAWS }, (_, i) => (i + 0.5) / DRAWS),
          [DRAWS],
        ),
        inverseTemperature: settings.inverseTemperature,
        ...(settings.head.penalises ? { penalty } : {}),
      });
      await module.release();
      const drawn = new Array<number>(vocabSize).fill(0);
      for (const id of made.id!.data) drawn[id]! += 1;
      for (const [id, p] of which.probabilities.entries()) {
        expect(Math.abs(drawn[id]! / DRAWS - p), `token ${id}`).toBeLessThan(1.01 / DRAWS);
        if (p === 0) expect(drawn[id], `token ${id} is left out`).toBe(0);
      }
      // Scores are those of softmax(logits / temperature), whatever was filtered.
      const scaled = values.logits.map((logit) => logit / which.temperature);
      const logSum = Math.log(scaled.reduce((sum, logit) => sum + Math.exp(logit), 0));
      for (let row = 0; row < DRAWS; row++) {
        expect(Math.abs(made.logp!.data[row]! - (scaled[made.id!.data[row]!]! - logSum))).toBeLessThan(1e-5);
      }
    },
  );
});
