/**
 * Long kernel runs cut into pieces: values and gradients are those of whole runs.
 */
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { attentionOutput } from '../../src/engine/block_modules.ts';
import type { TokenScores } from '../../src/engine/groups.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { mostRows, piecesOf } from '../../src/engine/row_chunks.ts';
import type { AttentionImplementation } from '../../src/engine/text_attention.ts';
import { decoderBlock } from '../../src/models/qwen_vl/decoder_block.ts';
import { cpu } from '../../src/runtime/cpu.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import { completionsIn, type GoldenGrpo, goldenGroups, loadModel, readJson } from '../helpers/golden_values.ts';
import { gradientOf } from '../helpers/parameters.ts';

// What a run may take on, and the module runs that were made under it.
const limits = vi.hoisted(() => ({ flop: 16e9, rows: 64, runs: 0 }));
vi.mock('../../src/engine/run_limits.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../src/engine/run_limits.ts')>()),
  get RUN_FLOP() {
    return limits.flop;
  },
  get FEWEST_ROWS() {
    return limits.rows;
  },
}));
vi.mock('../../src/runtime/cpu.ts', async (importOriginal) => {
  const { cpu } = await importOriginal<typeof import('../../src/runtime/cpu.ts')>();
  return {
    cpu: {
      ...cpu,
      compile: async (...args: Parameters<typeof cpu.compile>) => {
        const executable = await cpu.compile(...args);
        const run: typeof executable.run = (...given) => {
          limits.runs++;
          return executable.run(...given);
        };
        return { ...executable, run };
      },
    },
  };
});
afterEach(() => Object.assign(limits, { flop: 16e9, rows: 64 }));

describe('pieces', () => {
  test.each([
    [0, 5, []],
    [5, 5, [5]],
    [6, 5, [3, 3]],
    [11, 5, [3, 4, 4]],
  ])('%i rows, %i at most', (count, most, lengths) => {
    const pieces = piecesOf(count, most);
    expect(pieces.map(({ start, end }) => end - start)).toEqual(lengths);
    expect(pieces[0]?.start ?? 0).toBe(0);
    for (const [i, { start }] of pieces.entries()) if (i > 0) expect(start).toBe(pieces[i - 1]!.end);
  });

  test('as many rows as a run may take on, but not too few', () => {
    // a row of a layer of the 3B model takes 2 x 71.8 million FLOP
    const text = {
      hiddenSize: 2048,
      intermediateSize: 11008,
      numHiddenLayers: 1,
      numAttentionHeads: 16,
      numKeyValueHeads: 2,
      headDim: 128,
      vocabSize: 1,
      rmsNormEps: 1e-6,
      ropeTheta: 1,
      mropeSection: [1, 1, 1],
      tieWordEmbeddings: true,
      maxPositionEmbeddings: 1,
    } as const;
    const layer = attentionOutput(decoderBlock(text, { qkvBias: true, qkNorm: false }), text);
    expect(mostRows({ module: layer, device: cpu })).toBe(111);
    expect(mostRows({ module: layer, device: cpu }, 4)).toBe(64);
  });
});

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));

  async function everything(model: VisionLanguageModel) {
    const groups = await goldenGroups(checkpoint, grpo);
    const spans = 1;
    const indicators = groups.map(({ prompt }) => new Float32Array(prompt.ids.length).fill(1, 2));
    const before = limits.runs;
    const scored = await model.score(groups, {
      temperature: 1,
      keep: false,
      probe: { spans, indicators, layers: [0, 1] },
    });
    const { tape } = await model.score(groups, { temperature: 1, keep: true });
    const completions = completionsIn(scored).flat();
    const tokens = completions.reduce((sum, { logps }) => sum + logps.length, 0);
    await model.backward(
      tape!,
      Float32Array.from({ length: tokens }, (_, i) => Math.sin(i + 1)),
    );
    return { completions, runs: limits.runs - before };
  }

  const variants: [AttentionImplementation, boolean][] = [
    ['sdpa', true],
    ['sdpa', false],
    ['flash_attention_2', true],
  ];
  test.each(variants)(
    '%s, gradient checkpointing %s: pieces give what whole runs give',
    async (attnImpl, checkpointing) => {
      const options = { attnImpl, gradientCheckpointing: checkpointing };
      const whole = await loadModel(checkpoint, options);
      const inWhole = await everything(whole);
      Object.assign(limits, { flop: 3e5, rows: 3 });
      const cut = await loadModel(checkpoint, options);
      const inPieces = await everything(cut);
      expect(inPieces.runs).toBeGreaterThan(2 * inWhole.runs);
      const joined = (pick: (completion: TokenScores) => Iterable<number>, of: readonly TokenScores[]) =>
        Float32Array.from(of.flatMap((completion) => [...pick(completion)]));
      for (const pick of [
        ({ logps }: TokenScores) => logps,
        ({ entropies }: TokenScores) => entropies,
        ({ masses }: TokenScores) => [...masses.values()].flatMap((layer) => [...layer]),
      ]) {
        expect(largestDifference(joined(pick, inPieces.completions), joined(pick, inWhole.completions))).toBeLessThan(
          1e-5,
        );
      }
      for (const name of whole.parameters.trained) {
        const expected = await gradientOf(whole.parameters, name);
        const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
        const error = largestDifference(await gradientOf(cut.parameters, name), expected) / largest;
        expect(error, name).toBeLessThan(1e-4);
      }
      await Promise.all([whole.release(), cut.release()]);
    },
  );
});
