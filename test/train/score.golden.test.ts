/**
 * TDR through `score`: the fused probe and the eager forward against the reference, one completion and many per prompt.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readScoreArguments } from '../../src/arguments/arguments.ts';
import { probeDifference } from '../../src/attention/cross_check.ts';
import { massProbe, tdrOfScored } from '../../src/attention/probe.ts';
import { isTdr, type TdrResult, tdrSpans } from '../../src/attention/tdr.ts';
import type { HashedImage } from '../../src/engine/image_features.ts';
import type { VisionLanguageModel } from '../../src/engine/model.ts';
import { runScore } from '../../src/train/score.ts';
import type { ScoreSample } from '../../src/train/score_samples.ts';
import { createScorer } from '../../src/train/scorer.ts';
import { largestDifference } from '../helpers/check_op.ts';
import { goldenCheckpoints } from '../helpers/golden.ts';
import {
  completionsIn,
  type GoldenCase,
  type GoldenGrpo,
  groupOf,
  imagesOfCases,
  loadModel,
  promptOf,
  readCases,
  readJson,
  readTensors,
} from '../helpers/golden_values.ts';

describe.each(goldenCheckpoints())('$name', (checkpoint) => {
  const cases = readCases(checkpoint);
  const grpo = readJson<GoldenGrpo>(join(checkpoint.golden, 'grpo.json'));
  let images: ReadonlyMap<string, readonly HashedImage[]> = new Map();
  const worst: Record<string, number> = {};
  const note = (kind: string, error: number): number => {
    worst[kind] = Math.max(worst[kind] ?? 0, error);
    return error;
  };
  let model: VisionLanguageModel;
  let scratch: string;

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'sightline-score-'));
    model = await loadModel(checkpoint);
    const tensors = readTensors(join(checkpoint.golden, 'tensors.safetensors'));
    images = await imagesOfCases(checkpoint, model, tensors);
  });
  afterAll(async () => {
    rmSync(scratch, { recursive: true });
    console.log(`largest errors, ${checkpoint.name}:`, worst);
    await model.release();
  });

  const sampleOf = (golden: GoldenCase, index: number): ScoreSample => ({
    index,
    where: golden.name,
    prompt: { ...promptOf(golden, images.get(golden.name)!), systemPrefix: golden.system_prefix_tokens },
    completion: Int32Array.from(golden.completion_ids),
  });
  const checkCase = (way: string, golden: GoldenCase, tdr: TdrResult): void => {
    if (golden.tdr === null) {
      expect(tdr).toEqual({ undefined: 'no visual tokens' });
      return;
    }
    if (!isTdr(tdr)) throw new Error(`TDR is undefined: ${tdr.undefined}`);
    expect(note(`${way} tdr`, Math.abs(tdr.tdr - golden.tdr.tdr))).toBeLessThan(1e-4);
    expect(note(`${way} rho`, Math.abs(tdr.rhoVis - golden.tdr.rho_vis))).toBeLessThan(1e-4);
    expect(note(`${way} rho`, Math.abs(tdr.rhoText - golden.tdr.rho_text))).toBeLessThan(1e-4);
    expect([tdr.nVis, tdr.nText]).toEqual([golden.tdr.n_vis, golden.tdr.n_text]);
  };

  test('fused and eager TDR of all cases in one batch', async () => {
    const samples = cases.map(sampleOf);
    const fused = (await createScorer(model, 'fused', 1)(samples)).scores;
    const eager = (await createScorer(model, 'eager', 1)(samples)).scores;
    cases.forEach((golden, i) => {
      checkCase('fused', golden, fused[i]!.tdr);
      checkCase('eager', golden, eager[i]!.tdr);
      expect(note('fused - eager', probeDifference(eager[i]!.tdr, fused[i]!.tdr))).toBeLessThan(1e-5);
      expect(note('logps', largestDifference(fused[i]!.logps, golden.completion_logps))).toBeLessThan(1e-4);
    });
  });

  test('auto measures the first sample with a TDR both ways and goes on with fused', async () => {
    const scorer = createScorer(model, 'auto', 1);
    const withoutTdr = cases.findIndex(({ tdr }) => tdr === null);
    const first = await scorer([sampleOf(cases[withoutTdr]!, 0)]);
    expect(first.verdict).toBeNull();
    const second = await scorer([sampleOf(cases[0]!, 1)]);
    expect(second.verdict).toMatchObject({ level: 'info', text: expect.stringContaining('continuing with fused') });
    checkCase('auto', cases[0]!, second.scores[0]!.tdr);
    expect((await scorer([sampleOf(cases[0]!, 2)])).verdict).toBeNull();
  });

  test.each(['sdpa', 'flash_attention_2'] as const)('completions of shared prompts: %s', async (implementation) => {
    for (const config of [model.config, model.config.text_config]) {
      if (config != null) config._attn_implementation = implementation;
    }
    const size = grpo.num_generations;
    const goldens = grpo.prompts.filter((_, i) => i % size === 0).map((name) => cases.find((c) => c.name === name)!);
    const groups = goldens.map((golden, i) =>
      groupOf(golden, images.get(golden.name)!, grpo.completion_ids.slice(i * size, (i + 1) * size)),
    );
    const visualIds = [model.modelConfig.imageTokenId, model.modelConfig.videoTokenId];
    const prompts = groups.map(({ prompt }, i) => ({
      ids: prompt.ids,
      systemPrefix: goldens[i]!.system_prefix_tokens,
    }));
    const probe = massProbe(prompts, visualIds, model.modelConfig.text.numHiddenLayers);
    const scored = await model.score(groups, { temperature: 1, keep: false, probe });
    const tdrs = completionsIn(scored).flatMap((row, i) => {
      const spans = tdrSpans(groups[i]!.prompt.ids, prompts[i]!.systemPrefix, 0, visualIds);
      return row.map((scored) => tdrOfScored(scored, spans));
    });
    expect(tdrs).toHaveLength(grpo.ddapo.per_sequence.length);
    tdrs.forEach((tdr, i) => {
      if (!isTdr(tdr)) throw new Error(`TDR is undefined: ${tdr.undefined}`);
      expect(note('shared tdr', Math.abs(tdr.tdr - grpo.ddapo.per_sequence[i]!.tdr))).toBeLessThan(1e-4);
    });
    for (const config of [model.config, model.config.text_config]) {
      if (config != null) config._attn_implementation = 'sdpa';
    }
  });

  test('the command: a dataset in, a line per row out', async () => {
    const chosen = cases.filter(({ image_grid_thw }) => image_grid_thw === null || image_grid_thw.length === 1);
    const rows = chosen.map(({ messages, completion_ids }) => ({
      messages: messages.map(({ role, content }) => ({
        role,
        content:
          typeof content === 'string'
            ? content
            : content.map((part) =>
                part.image === undefined
                  ? part
                  : { type: 'image', image: join(checkpoint.golden, 'images', part.image) },
              ),
      })),
      completion_ids,
    }));
    const [dataset, output] = [join(scratch, 'in.jsonl'), join(scratch, 'out.jsonl')];
    writeFileSync(dataset, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const words = ['--model', checkpoint.model, '--dataset', dataset, '--output', output, '--batch_size', '3'];
    const { args } = readScoreArguments(words, {});
    const notices: string[] = [];
    await runScore(args, {
      signal: new AbortController().signal,
      emit: (event) => void (event.type === 'notice' && notices.push(event.text)),
    });
    expect(notices).toEqual([expect.stringContaining('attn_probe auto'), `wrote ${chosen.length} rows to ${output}`]);
    const lines = readFileSync(output, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(chosen.length);
    lines.forEach((line, i) => {
      const golden = chosen[i]!;
      const score = JSON.parse(line);
      expect(score.index).toBe(i);
      expect(score.prompt_ids).toEqual(golden.prompt_ids);
      expect(score.completion_ids).toEqual(golden.completion_ids);
      // Pixels are our own here, within rounding of the reference's.
      expect(note('command logps', largestDifference(score.logps, golden.completion_logps))).toBeLessThan(1e-2);
      expect(score.entropies).toHaveLength(golden.completion_ids.length);
      if (golden.tdr === null) {
        expect(score).toMatchObject({ tdr: null, rho_vis: null, n_vis: 0, tdr_reason: 'no visual tokens' });
      } else {
        expect(note('command tdr', Math.abs(score.tdr - golden.tdr.tdr))).toBeLessThan(1e-2);
        expect([score.n_vis, score.n_text]).toEqual([golden.tdr.n_vis, golden.tdr.n_text]);
      }
    });
  });

  test('a faulty row leaves no file', async () => {
    const [dataset, output] = [join(scratch, 'bad.jsonl'), join(scratch, 'bad-out.jsonl')];
    const good = { messages: [{ role: 'user', content: 'Hi' }], completion_ids: [1, 2] };
    const bad = { ...good, completion_ids: [1, model.modelConfig.imageTokenId] };
    writeFileSync(dataset, `${JSON.stringify(good)}\n${JSON.stringify(bad)}\n`);
    const { args } = readScoreArguments(['--model', checkpoint.model, '--dataset', dataset, '--output', output], {});
    const run = runScore(args, { signal: new AbortController().signal, emit: () => undefined });
    await expect(run).rejects.toMatchObject({ code: 'E_COMPLETION_IDS', where: `${dataset}:2` });
    expect(() => readFileSync(output)).toThrow('ENOENT');
  });
});
