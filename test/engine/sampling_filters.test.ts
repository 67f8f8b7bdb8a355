/**
 * What sampling draws after its filters, against the processors of transformers (test/golden/make/sampling.py), and that the
 * filters leave log-probabilities as they are.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { writeBans } from '../../src/engine/banned_sequences.ts';
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
  readonly bans: {
    readonly sequences: readonly (readonly number[])[];
    readonly cases: readonly { readonly ids: readonly number[]; readonly banned: readonly number[] }[];
  };
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

test('what is banned after so many ids, in rows at other places', async () => {
  const { sequences, cases } = values.bans;
  const bannedIds = sequences.flatMap((ids) => (ids.length === 1 ? ids : []));
  const bannedSequences = sequences.filter((ids) => ids.length > 1);
  const settings = drawSettings({ temperature: 1, bannedIds, bannedSequences }, vocabSize, true);
  const places = cases.length;
  const banned = zeros(places, vocabSize);
  const rows = newRows(1, places, createRandom(1));
  for (const [i, row] of rows.entries()) {
    row.place = places - 1 - i;
    row.ids.push(...cases[i]!.ids);
  }
  // What earlier rows at these places have left is overwritten.
  banned.data.fill(Number.NEGATIVE_INFINITY);
  writeBans(banned.data, rows, settings.banned.data, bannedSequences);
  for (const [i, { place }] of rows.entries()) {
    const own = [...banned.data.subarray(place * vocabSize, (place + 1) * vocabSize)];
    const { ids, banned: expected } = cases[i]!;
    expect(
      own.flatMap((value, id) => (value === 0 ? [] : [id])),
      `after ${ids}`,
    ).toEqual(expected);
  }
  // The head draws none of them, and leaves the log-probabilities as they are.
  const module = compileModule(samplingHead({ hiddenSize: 1, vocabSize, rmsNormEps: 0 }, settings.head, 'right'));
  for (const u of [0, 0.3, 0.6, 0.999]) {
    const made = await module.forward({
      'norm.weight': floats(Float32Array.of(1), [1]),
      'head.weight': floats(Float32Array.from(values.logits), [vocabSize, 1]),
      hidden: floats(new Float32Array(places).fill(1), [places, 1]),
      banned,
      uniform: floats(new Float32Array(places).fill(u), [places]),
      inverseTemperature: settings.inverseTemperature,
    });
    for (const { place } of rows) expect(cases[places - 1 - place]!.banned).not.toContain(made.id!.data[place]!);
    expect([...made.logps!.data.subarray(0, vocabSize)]).toEqual([
      ...made.logps!.data.subarray(vocabSize, 2 * vocabSize),
    ]);
  }
  await module.release();
});
