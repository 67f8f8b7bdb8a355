/**
 * Sampling completions: prompts are computed once per group, then all live rows of all groups step together.
 * What is sampled are ids; they are kept as they are and never turned into text and back here.
 */
import { SightlineError } from '../errors.ts';
import { adapted } from '../nn/adapter.ts';
import { createModuleCache } from '../runtime/compiled_module.ts';
import { pin, type RuntimeOptions } from '../runtime/session.ts';
import { floats, gatherRows, zeros } from '../runtime/tensor.ts';
import { createWorkspace } from '../runtime/workspace.ts';
import { createExclusive } from '../util/mutex.ts';
import type { Random } from '../util/random.ts';
import { weightsOf } from './bindings.ts';
import {
  createDecodeStep,
  type DecodedToken,
  type DecodeLimits,
  type DecodeProbe,
  type Drawn,
  drawnRows,
  formWithoutCopy,
  type Sampling,
} from './decode_step.ts';
import type { Prompt, SampledGroup, ScoredCompletion } from './groups.ts';
import { headName } from './heads.ts';
import { createKvCache, type KvCache, setPrompt, withoutFree, withRoom } from './kv_cache.ts';
import { adaptersIn } from './layer_modules.ts';
import type { LayerProbe, Prefilled, Scored, VisionLanguageModel } from './model.ts';
import type { RecordedToken, Recording } from './recording.ts';
import { samplingHead } from './sampling.ts';

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
  /** Keep what `backward` needs: decoding computes every row of the completions, so no forward is needed for it. */
  readonly keep?: boolean;
  /** Attention masses of completion rows on spans of prompt columns, measured while they are sampled. */
  readonly probe?: LayerProbe | undefined;
  readonly signal?: AbortSignal;
  /** Called for each token with the ids sampled, for streaming; several times after a run that has computed several. */
  readonly onTokens?: (tokens: readonly { group: number; completion: number; id: number }[]) => void;
}

/** A completion as it was sampled: its log-probabilities are under softmax(logits / temperature), as the sampler saw them. */
export interface SampledCompletion extends ScoredCompletion {
  readonly ids: Int32Array;
  /** Ended by a stop id; otherwise cut off by maxNewTokens. */
  readonly finished: boolean;
}

/** Completions and their scores: what the model's `score` with the same `keep` and `probe` would return for them. */
export interface Generated extends Scored {
  /** Per prompt, per completion. */
  readonly completions: readonly (readonly SampledCompletion[])[];
}

export interface Generator {
  /**
   * Per prompt, `count` completions.
   *
   * @throws SightlineError E_DIVERGED where the model's output is not finite
   */
  generate(prompts: readonly Prompt[], options: GenerateOptions): Promise<Generated>;
  release(): Promise<void>;
}

/** @param limits of sizes at which decoding changes its ways, for tests */
export function createGenerator(
  model: VisionLanguageModel,
  runtime: RuntimeOptions = {},
  limits?: DecodeLimits,
): Generator {
  const { sizes, parameters } = model;
  const { text } = sizes;
  const { hiddenSize } = text;
  const workspace = createWorkspace();
  const exclusive = createExclusive(); // rollouts share the workspace
  const decode = createDecodeStep(sizes, parameters, workspace, runtime, limits);
  const samplers = createModuleCache(runtime);

  /** The first tokens, from the prompts' last rows. */
  async function drawFirst({ lastHidden }: Prefilled, { live, cache }: Rollout, sampling: Sampling): Promise<Drawn> {
    const { head, banned, inverseTemperature } = sampling;
    const places = cache.groups.length * cache.rows;
    const form = formWithoutCopy(places);
    const sampler = samplers.get(JSON.stringify({ head, form }), () => {
      const module = samplingHead(text, head, form);
      return adapted(module, adaptersIn(module, parameters, headName(text)));
    });
    const groupOf = Int32Array.from({ length: places }, (_, place) => Math.floor(place / cache.rows));
    const hidden = gatherRows(lastHidden, groupOf, workspace.get('hidden', places, hiddenSize));
    const uniform = floats(byPlace(new Float32Array(places), live, uniformOf), [places]);
    const drawn = drawnRows(workspace, 'drawn first', places, head, text.vocabSize);
    const weights = weightsOf(sampler, parameters, headName(text));
    await sampler.forward({ ...weights, hidden, banned, uniform, inverseTemperature }, { ...drawn });
    return drawn;
  }

  /** The next tokens of the live rows: their last ids go in, and as many as the cache takes at once come out. */
  function step(rollout: Rollout, sampling: Sampling, { recording, probe }: RecordedProbe): Promise<DecodedToken[]> {
    const { live, cache, length, nextPositions } = rollout;
    const places = cache.groups.length * cache.rows;
    const uniform = new Float32Array(cache.atOnce * places);
    for (const row of live) for (let t = 0; t < cache.atOnce; t++) uniform[t * places + row.place] = uniformOf(row);
    rollout.length += cache.atOnce;
    return decode.run({
      ids: byPlace(new Int32Array(places), live, ({ last }) => last),
      positions: byPlace(new Int32Array(places), live, ({ group }) => nextPositions[group]! + length),
      uniform,
      cache,
      length,
      sampling,
      recording,
      probe,
    });
  }

  /** Samples until every row has ended; with a probe, the rows of last tokens are computed too. */
  async function sample(
    prompts: readonly Prompt[],
    options: GenerateOptions,
  ): Promise<{ sampled: SampledCompletion[][]; prefilled: Prefilled; recording: Recording | null }> {
    const { count, maxNewTokens, stopIds, random, keep = false, probe, signal, onTokens } = options;
    // The last token is only fed to be measured.
    const mostSteps = Math.max(0, probe === undefined ? maxNewTokens - 1 : maxNewTokens);
    const atOnce = decode.tokensAtOnce(prompts.length * count, mostSteps);
    const steps = Math.ceil(mostSteps / atOnce) * atOnce;
    const recording =
      keep || probe !== undefined
        ? model.record(prompts, { count, maxTokens: maxNewTokens, steps, tape: keep }, probe)
        : null;
    const recorded: RecordedProbe = { recording, probe: probe && decodeProbe(probe) };
    const sampling = samplingOf(options, text.vocabSize, recording?.logps ?? false);
    const cache = createKvCache(workspace, {
      kvHeads: text.numKeyValueHeads,
      headDim: text.headDim,
      layers: text.numHiddenLayers,
      promptLengths: prompts.map(({ promptIds }) => promptIds.length),
      rows: count,
      maxTokens: maxNewTokens,
      atOnce,
    });
    const prefilled = await model.prefill(
      prompts,
      (layer, group, k, v) => setPrompt(cache, layer, group, k, v),
      recording ?? undefined,
    );
    const all = prompts.flatMap((_, group) =>
      Array.from({ length: count }, (_, completion) =>
        createRow(group, completion, group * count + completion, random.fork(`${group}/${completion}`)),
      ),
    );
    const sampled = () => prompts.map((_, g) => all.filter(({ group }) => group === g).map(sampledOf));
    const rollout: Rollout = { live: all, cache, length: 0, nextPositions: prefilled.nextPositions };
    if (all.length === 0 || maxNewTokens === 0) return { sampled: sampled(), prefilled, recording };

    const accept = (rows: readonly Row[], { id, logp, entropy, logps }: Drawn): void => {
      for (const row of rows) {
        if (!Number.isFinite(logp.data[row.place])) throw notFinite(row.ids.length);
        row.last = id.data[row.place]!;
        row.ids.push(row.last);
        row.logps.push(logp.data[row.place]!);
        row.entropies.push(entropy.data[row.place]!);
        row.finished = stopIds.includes(row.last);
        if (logps !== undefined) recording?.drawn(newestOf(row), logps, row.place);
      }
      onTokens?.(rows.map(({ group, completion, last }) => ({ group, completion, id: last })));
    };
    const goesOn = ({ finished, ids }: Row): boolean => !finished && ids.length < maxNewTokens;
    accept(all, await drawFirst(prefilled, rollout, sampling));
    while (true) {
      signal?.throwIfAborted();
      // A row's last token is computed only where it is measured.
      const isWanted = (row: Row): boolean => goesOn(row) || (probe !== undefined && row.ids.length > rollout.length);
      keepOnly(rollout, rollout.live.filter(isWanted));
      if (rollout.live.length === 0) break;
      rollout.cache = withRoom(rollout.cache, rollout.length);
      const first = rollout.length;
      for (const [t, { rows, drawn }] of (await step(rollout, sampling, recorded)).entries()) {
        signal?.throwIfAborted();
        // Rows that had ended before this token were computed for nothing.
        const standing = rollout.live.filter(({ ids }) => ids.length === first + t + 1);
        if (rows !== null) for (const row of standing) recording?.stands(newestOf(row), rows, row.place);
        const going = standing.filter(goesOn);
        if (going.length > 0) accept(going, drawn);
      }
    }
    return { sampled: sampled(), prefilled, recording };
  }

  return {
    // One after another; none leaves anything bound.
    generate: (prompts, options) =>
      exclusive(async () => {
        const { sampled, prefilled, recording } = await sample(prompts, options).finally(() => decode.forget());
        if (recording === null) return { completions: sampled, tape: null };
        const groups = sampledGroups(prompts, sampled);
        const { completions, tape } = model.scoredFrom(recording, prefilled, groups, options.temperature);
        const whole = sampled.map((group, g) => group.map((one, c) => ({ ...one, ...completions[g]![c]! })));
        return { completions: whole, tape };
      }),

    async release() {
      await Promise.all([decode.release(), samplers.release()]);
    },
  };
}

// --- internal ---

/** Below 1 as a float32, too. */
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
  readonly recording: Recording | null;
  readonly probe: DecodeProbe | undefined;
}

function createRow(group: number, completion: number, place: number, random: Random): Row {
  return { group, completion, random, place, last: -1, ids: [], logps: [], entropies: [], finished: false };
}

function sampledOf({ ids, logps, entropies, finished }: Row): SampledCompletion {
  return {
    ids: Int32Array.from(ids),
    logps: Float32Array.from(logps),
    entropies: Float32Array.from(entropies),
    masses: new Map(),
    finished,
  };
}

/** Prompts with their completions, as the model knows sampled groups. */
const sampledGroups = (prompts: readonly Prompt[], sampled: readonly SampledCompletion[][]): SampledGroup[] =>
  prompts.map((prompt, g) => ({
    ...prompt,
    completions: sampled[g]!.map(({ ids }) => ids),
    logps: sampled[g]!.map(({ logps }) => logps),
    entropies: sampled[g]!.map(({ entropies }) => entropies),
  }));

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

/** What would be drawn is no choice of the model's: text, and rewards for it, would only look as if there were one. */
const notFinite = (tokens: number): SightlineError =>
  new SightlineError('E_DIVERGED', `the model's output is not finite: token ${tokens + 1} has no probability`, {
    hint: 'weights or activations overflow; go back to an earlier checkpoint, or lower --learning_rate',
    exitCode: 4,
  });

/** A completion's newest token, as a recording knows it. */
const newestOf = ({ group, completion, ids }: Row): RecordedToken => ({ group, completion, t: ids.length - 1 });

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
