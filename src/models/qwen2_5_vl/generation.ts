/**
 * Sampling completions: prompts are computed once per group, then all live rows of all groups step together.
 * What is sampled are ids; they are kept as they are and never turned into text and back here.
 */
import { linear, linearFewRows } from '../../nn/linear.ts';
import { createModuleCache } from '../../runtime/compiled_module.ts';
import { pin, type RuntimeOptions } from '../../runtime/session.ts';
import { floats, gatherRows, zeros } from '../../runtime/tensor.ts';
import { createWorkspace } from '../../runtime/workspace.ts';
import { createExclusive } from '../../util/exclusive.ts';
import type { Random } from '../../util/random.ts';
import { weightsOf } from './bindings.ts';
import {
  createDecodeStep,
  type DecodeProbe,
  type DecodeStepInputs,
  type Drawn,
  drawnRows,
  FEW_ROWS,
  type Sampling,
} from './decode_step.ts';
import { createKvCache, type KvCache, setPrompt, withoutFree, withRoom } from './kv_cache.ts';
import type { LayerProbe, Prefilled, Prompt, Qwen2_5_VLModel, Scored } from './model.ts';
import type { RecordedToken, Recording } from './recording.ts';
import { samplingHead } from './sampling.ts';
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
   * row of them already, so no forward is needed before backward. A probe costs a decode step for each last token.
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

  /** The first tokens, from the prompts' last rows. */
  async function drawFirst({ lastHidden }: Prefilled, { live, cache }: Rollout, sampling: Sampling): Promise<Drawn> {
    const { head, banned, inverseTemperature } = sampling;
    const places = cache.groups.length * cache.rows;
    const few = places <= FEW_ROWS;
    const sampler = samplers.get(JSON.stringify({ head, few }), () =>
      samplingHead(text, head, few ? linearFewRows : linear),
    );
    const groupOf = Int32Array.from({ length: places }, (_, place) => Math.floor(place / cache.rows));
    const hidden = gatherRows(lastHidden, groupOf, workspace.get('hidden', places, hiddenSize));
    const uniform = floats(byPlace(new Float32Array(places), live, uniformOf), [places]);
    const drawn = drawnRows(workspace, places, head, text.vocabSize);
    const weights = weightsOf(sampler, parameters, headName(text));
    await sampler.forward({ ...weights, hidden, banned, uniform, inverseTemperature }, { ...drawn });
    return drawn;
  }

  /** One decode step: puts the live rows' last ids in, and draws the next ones of those that go on. */
  async function step(rollout: Rollout, going: readonly Row[], sampling: Sampling, record: RecordedProbe | null) {
    const { live, cache, length, nextPositions } = rollout;
    const places = cache.groups.length * cache.rows;
    const inputs: DecodeStepInputs = {
      ids: byPlace(new Int32Array(places), live, ({ last }) => last),
      positions: byPlace(new Int32Array(places), live, ({ group }) => nextPositions[group]! + length),
      uniform: byPlace(new Float32Array(places), going, uniformOf),
      cache,
      length,
      sampling,
    };
    rollout.length++;
    if (record === null) return (await decode.run(inputs)).drawn;
    const { recording, probe } = record;
    const goesOn = new Set(going);
    const tokens = live.map((row) => recordedToken(row, recording, !goesOn.has(row)));
    const { hidden, drawn } = await decode.run({
      ...inputs,
      probe,
      recorder: {
        products: recording.products,
        onLayer: (layer, rows, masses) => recording.step(layer, tokens, rows, masses),
      },
    });
    recording.stepHidden(tokens, hidden);
    return drawn;
  }

  /** Samples until every row has ended; with a probe, the rows of last tokens are computed too. */
  async function sample(
    prompts: readonly Prompt[],
    options: GenerateOptions,
    record: RecordedProbe | null,
  ): Promise<{ generated: Generated[][]; prefilled: Prefilled }> {
    const { count, maxNewTokens, stopIds, random, signal, onTokens } = options;
    const sampling = samplingOf(options, text.vocabSize, record?.recording.logps ?? false);
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
    const generated = () => prompts.map((_, g) => all.filter(({ group }) => group === g).map(generatedOf));
    const rollout: Rollout = { live: all, cache, length: 0, nextPositions: prefilled.nextPositions };
    if (all.length === 0 || maxNewTokens === 0) return { generated: generated(), prefilled };

    const accept = (rows: readonly Row[], { id, logp, entropy, logps }: Drawn): void => {
      for (const row of rows) {
        row.last = id.data[row.place]!;
        row.ids.push(row.last);
        row.logps.push(logp.data[row.place]!);
        row.entropies.push(entropy.data[row.place]!);
        row.finished = stopIds.includes(row.last);
      }
      if (logps !== undefined && record !== null) {
        const tokens = rows.map((row) => recordedToken(row, record.recording));
        record.recording.drawn(tokens, logps);
      }
      onTokens?.(rows.map(({ group, completion, last }) => ({ group, completion, id: last })));
    };
    accept(all, await drawFirst(prefilled, rollout, sampling));
    for (let tokens = 1; ; tokens++) {
      signal?.throwIfAborted();
      const going = tokens === maxNewTokens ? [] : rollout.live.filter(({ finished }) => !finished);
      // Last tokens are computed only to be measured.
      if (record?.probe === undefined) keepOnly(rollout, going);
      if (rollout.live.length === 0) break;
      rollout.cache = withRoom(rollout.cache, rollout.length);
      const drawn = await step(rollout, going, sampling, record);
      if (going.length === 0) break;
      accept(going, drawn);
      keepOnly(rollout, going);
    }
    return { generated: generated(), prefilled };
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

/** A number of each of these rows at its place; elsewhere stays what was there. */
function byPlace<T extends Int32Array | Float32Array>(
  numbers: T,
  rows: readonly Row[],
  numberOf: (row: Row) => number,
): T {
  for (const row of rows) numbers[row.place] = numberOf(row);
  return numbers;
}

const uniformOf = ({ random }: Row): number => Math.min(random.next(), LARGEST_UNIFORM);

/** How tokens are drawn, as the decode step wants it. */
function samplingOf(options: GenerateOptions, vocabSize: number, logps: boolean): Sampling {
  const { temperature, topK = 0, topP = 1, bannedIds } = options;
  const banned = floats(new Float32Array(vocabSize), [vocabSize]);
  for (const id of bannedIds) banned.data[id] = Number.NEGATIVE_INFINITY;
  return {
    head: { greedy: temperature === 0, topK, topP, logps },
    banned: pin(banned),
    inverseTemperature: pin(floats(Float32Array.of(temperature === 0 ? 1 : 1 / temperature), [])),
  };
}

/** A completion's newest token, in a recording. */
const recordedToken = ({ group, completion, ids, place }: Row, recording: Recording, isLast = false): RecordedToken =>
  recording.token(group, completion, ids.length - 1, { row: place, isLast });

/** Lets the other rows go; the cache shrinks when it pays. */
function keepOnly(rollout: Rollout, live: readonly Row[]): void {
  if (live.length === rollout.live.length) return;
  rollout.live = live;
  if (live.length === 0) return;
  const { cache, places } = withoutFree(rollout.cache, rollout.length, placesOf(live));
  rollout.cache = cache;
  for (const [i, row] of live.entries()) row.place = places[i]!;
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
