/**
 * Sampling completions: prompts are computed once per group, then all live rows of all groups step together.
 * What is sampled are ids; they are kept as they are and never turned into text and back here.
 */
import { linear, linearFewRows } from '../../nn/linear.ts';
import { createModuleCache } from '../../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../../runtime/session.ts';
import { type FloatTensor, floats, gatherRows, zeros } from '../../runtime/tensor.ts';
import { createWorkspace, type Workspace } from '../../runtime/workspace.ts';
import { createExclusive } from '../../util/exclusive.ts';
import type { Random } from '../../util/random.ts';
import { weightsOf } from './bindings.ts';
import { createDecodeStep, type DecodeProbe, FEW_ROWS } from './decode_step.ts';
import { createKvCache, type KvCache, setPrompt, withoutFree, withRoom } from './kv_cache.ts';
import type { LayerProbe, Prefilled, Prompt, Qwen2_5_VLModel, Scored } from './model.ts';
import type { Recording } from './recording.ts';
import { type SamplingRule, samplingHead } from './sampling.ts';
import { headName } from './scoring.ts';

export interface GenerateOptions {
  /** Completions of each prompt. */
  readonly count: number;
  readonly maxNewTokens: number;
  /** 0 takes the most likely token. */
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  /** Ids that end a completion; the id stays in it. */
  readonly stopIds: readonly number[];
  /** Ids that must never be sampled: image, video and vision tokens, rows of the table that no token uses. */
  readonly bannedIds: readonly number[];
  /** One stream a completion is forked from it, so a completion does not depend on its neighbours. */
  readonly random: Random;
  readonly signal?: AbortSignal;
  /** Called after each step with the ids sampled in it, for streaming. */
  readonly onTokens?: (tokens: readonly { group: number; completion: number; id: number }[]) => void;
}

export interface Generated {
  readonly ids: Int32Array;
  /** Log-probability of each id under softmax(logits / temperature), as the sampler saw it. */
  readonly logps: Float32Array;
  /** Entropy of the distribution each id was drawn from. */
  readonly entropies: Float32Array;
  /** Ended by a stop id; otherwise cut off by maxNewTokens. */
  readonly finished: boolean;
}

export interface Generator {
  /** Per prompt, `count` completions. */
  generate(prompts: readonly Prompt[], options: GenerateOptions): Promise<Generated[][]>;
  /**
   * The same, and what the model's `score` with `keep` would return for the completions: decoding has computed every
   * row of them already, so no forward is needed before backward. Costs a decode step for each last token.
   */
  generateAndScore(
    prompts: readonly Prompt[],
    options: GenerateOptions,
    probe?: LayerProbe,
  ): Promise<{ generated: Generated[][]; scored: Scored }>;
  release(): Promise<void>;
}

export function createGenerator(model: Qwen2_5_VLModel, runtime: RuntimeOptions = {}): Generator {
  const { sizes, parameters } = model;
  const { text } = sizes;
  const { hiddenSize } = text;
  const workspace = createWorkspace();
  const exclusive = createExclusive(); // rollouts share the workspace
  const decode = createDecodeStep(text, parameters, workspace, runtime);
  const samplers = createModuleCache(runtime);

  /** One decode step: hidden [N, h] of the live rows, given their last ids. */
  function step({ live, cache, length, nextPositions }: Rollout, record: RecordedProbe | null): Promise<FloatTensor> {
    const ids = Int32Array.from(live, ({ last }) => last);
    const positions = live.map(({ group }) => nextPositions[group]! + length);
    const inputs = { ids, positions, places: placesOf(live), cache, length };
    if (record === null) return decode.run(inputs);
    const { recording } = record;
    const kept = recordedPlaces(live, recording);
    return decode.run({
      ...inputs,
      probe: record.probe,
      recorder: {
        products: recording.products,
        onLayer: (layer, rows, masses) => recording.step(layer, kept, rows, masses),
      },
    });
  }

  /** Samples until every row has ended; with a recording, the rows of last tokens are computed too. */
  async function sample(
    prompts: readonly Prompt[],
    options: GenerateOptions,
    record: RecordedProbe | null,
  ): Promise<{ generated: Generated[][]; prefilled: Prefilled }> {
    const { count, maxNewTokens, temperature, stopIds, bannedIds, random, signal, onTokens } = options;
    const rule: SamplingRule = { greedy: temperature === 0, topK: options.topK ?? 0, topP: options.topP ?? 1 };
    const ruleName = JSON.stringify(rule);
    const inverseTemperature = floats(Float32Array.of(temperature === 0 ? 1 : 1 / temperature), []);
    const banned = floats(new Float32Array(text.vocabSize), [text.vocabSize]);
    for (const id of bannedIds) banned.data[id] = Number.NEGATIVE_INFINITY;

    const cache = createKvCache(workspace, {
      kvHeads: text.numKeyValueHeads,
      headDim: text.headDim,
      layers: text.numHiddenLayers,
      promptLengths: prompts.map(({ promptIds }) => promptIds.length),
      rows: count,
      maxTokens: maxNewTokens,
    });
    const prefilled = await model.prefill(
      prompts,
      (layer, group, k, v) => setPrompt(cache, layer, group, k, v),
      record?.recording,
    );
    const all = prompts.flatMap((_, group) =>
      Array.from({ length: count }, (_, completion) =>
        createRow(group, completion, group * count + completion, random.fork(`${group}/${completion}`)),
      ),
    );
    const rollout: Rollout = { live: all, cache, length: 0, nextPositions: prefilled.nextPositions };
    let hidden = workspace.get('hidden', all.length, hiddenSize);
    gatherRows(
      prefilled.lastHidden,
      Int32Array.from(all, ({ group }) => group),
      hidden,
    );

    for (let token = 0; token < maxNewTokens && rollout.live.length > 0; token++) {
      signal?.throwIfAborted();
      const { live } = rollout;
      const few = live.length <= FEW_ROWS;
      const sampler = samplers.get(`${ruleName} ${few}`, () => samplingHead(text, rule, few ? linearFewRows : linear));
      const uniform = Float32Array.from(live, (row) => Math.min(row.random.next(), LARGEST_UNIFORM));
      const sampled = await sampler.forward({
        ...weightsOf(sampler, parameters, headName(text)),
        hidden,
        banned,
        uniform: floats(uniform, [live.length]),
        inverseTemperature,
      });
      for (const [i, row] of live.entries()) {
        row.last = sampled.id!.data[i]!;
        row.ids.push(row.last);
        row.logps.push(sampled.logp!.data[i]!);
        row.entropies.push(sampled.entropy!.data[i]!);
        row.finished = stopIds.includes(row.last);
      }
      onTokens?.(live.map(({ group, completion, last }) => ({ group, completion, id: last })));
      const last = token + 1 === maxNewTokens;
      if (record === null) {
        if (last) break;
        dropFinished(rollout);
        if (rollout.live.length === 0) break;
      }
      rollout.cache = withRoom(rollout.cache, rollout.length);
      const after = await step(rollout, record);
      rollout.length++;
      hidden = after;
      if (record !== null) {
        record.recording.stepHidden(recordedPlaces(rollout.live, record.recording), after);
        hidden = keepLive(rollout.live, after, workspace);
        dropFinished(rollout);
      }
    }
    const generated = prompts.map((_, g) => all.filter(({ group }) => group === g).map(generatedOf));
    return { generated, prefilled };
  }

  return {
    generate: (prompts, options) => exclusive(async () => (await sample(prompts, options, null)).generated),

    generateAndScore: (prompts, options, probe) => exclusive(() => sampleAndScore(prompts, options, probe)),

    async release() {
      await Promise.all([decode.release(), samplers.release()]);
    },
  };

  async function sampleAndScore(prompts: readonly Prompt[], options: GenerateOptions, probe?: LayerProbe) {
    const recording = model.record(prompts, { count: options.count, maxTokens: options.maxNewTokens }, probe);
    const { generated, prefilled } = await sample(prompts, options, {
      recording,
      probe: probe && decodeProbe(probe),
    });
    const groups = prompts.map((prompt, g) => ({
      ...prompt,
      completions: generated[g]!.map(({ ids }) => ids),
      logps: generated[g]!.map(({ logps }) => logps),
      entropies: generated[g]!.map(({ entropies }) => entropies),
    }));
    return { generated, scored: model.scoredFrom(recording, prefilled, groups, options.temperature) };
  }
}

// --- internal ---

/** Below 1 even after float32 rounding of a product with it. */
const LARGEST_UNIFORM = 1 - 2 ** -20;

interface Row {
  readonly group: number;
  readonly completion: number;
  readonly random: Random;
  /** Where it stands in the cache. */
  place: number;
  last: number;
  readonly ids: number[];
  readonly logps: number[];
  readonly entropies: number[];
  finished: boolean;
}

/** What changes from step to step. */
interface Rollout {
  /** Completions that go on, group by group. */
  live: readonly Row[];
  cache: KvCache;
  /** Tokens the cache holds of each of them. */
  length: number;
  /** Per prompt: rotary position of the first new token, the same on all three axes. */
  readonly nextPositions: readonly number[];
}

interface RecordedProbe {
  readonly recording: Recording;
  readonly probe: DecodeProbe | undefined;
}

function createRow(group: number, completion: number, place: number, random: Random): Row {
  return { group, completion, random, place, last: -1, ids: [], logps: [], entropies: [], finished: false };
}

function generatedOf({ ids, logps, entropies, finished }: Row): Generated {
  return {
    ids: Int32Array.from(ids),
    logps: Float32Array.from(logps),
    entropies: Float32Array.from(entropies),
    finished,
  };
}

const placesOf = (live: readonly Row[]): Int32Array => Int32Array.from(live, ({ place }) => place);

/** Where the rows of the live completions' last ids are kept. */
const recordedPlaces = (live: readonly Row[], recording: Recording): number[] =>
  live.map(({ group, completion, ids }) => recording.place(group, completion, ids.length - 1));

/** Lets finished rows go; the cache shrinks when it pays. */
function dropFinished(rollout: Rollout): void {
  const live = rollout.live.filter(({ finished }) => !finished);
  if (live.length === rollout.live.length) return;
  rollout.live = live;
  if (live.length === 0) return;
  const { cache, places } = withoutFree(rollout.cache, rollout.length, placesOf(live));
  rollout.cache = cache;
  for (const [i, row] of live.entries()) row.place = places[i]!;
}

/** The rows of those that go on, moved together. */
function keepLive(live: readonly Row[], hidden: FloatTensor, workspace: Workspace): FloatTensor {
  const going = Int32Array.from(live.flatMap(({ finished }, i) => (finished ? [] : [i])));
  if (going.length === live.length) return hidden;
  return gatherRows(hidden, going, workspace.get('kept', going.length, hidden.dims[1]!));
}

/** The same probe, its indicators in one rectangle of the cache's groups. */
function decodeProbe({ layers, spans, indicators }: LayerProbe): DecodeProbe {
  return {
    layers,
    spans,
    indicatorOf: ({ groups, layers: cached }) => {
      const longest = cached[0]!.kPrompt.dims[2]!;
      const joined = zeros(groups.length, longest, spans);
      for (const [g, { prompt }] of groups.entries()) joined.data.set(indicators[prompt]!, g * longest * spans);
      return joined;
    },
  };
}
