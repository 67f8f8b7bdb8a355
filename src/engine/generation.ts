/**
 * Samples completions: prompts are computed once per group, then all live rows of all groups step together.
 * Ids are sampled and kept; this file never sees text.
 */
import { SightlineError } from '../errors.ts';
import { createModuleCache } from '../runtime/compiled_module.ts';
import { requireRoom } from '../runtime/out_of_memory.ts';
import { floats, zeros } from '../runtime/tensor.ts';
import { createExclusive } from '../util/mutex.ts';
import type { Random } from '../util/random.ts';
import { type IdSequence, writeBans } from './banned_sequences.ts';
import { weightsOf } from './bindings.ts';
import { type DecodeLimits, formWithoutCopy } from './decode_cost.ts';
import type { DecodeProbe } from './decode_runs.ts';
import { createDecodeStep, type DecodedToken, type DecodeStepInputs } from './decode_step.ts';
import { type Drawn, type DrawSettings, drawnRows, drawSettings } from './drawn_tokens.ts';
import type { Group, Prompt } from './groups.ts';
import { headName } from './heads.ts';
import { createKvCache, setPrompt, withRoom } from './kv_cache.ts';
import { asBound } from './layer_modules.ts';
import {
  byPlace,
  keepOnly,
  type LiveRow,
  type LiveRows,
  newestOf,
  newRows,
  placesOf,
  type SampledCompletion,
  sampledOf,
  uniformOf,
  writePenalties,
} from './live_rows.ts';
import type { VisionLanguageModel } from './model.ts';
import type { Prefilled } from './prefill.ts';
import type { Recording } from './recording.ts';
import { samplingHead } from './sampling.ts';
import type { LayerProbe, Scored } from './scored_groups.ts';
import { createWorkingMemory } from './working_memory.ts';

export interface GenerateOptions {
  /** Completions of each prompt. */
  readonly count: number;
  readonly maxNewTokens: number;
  /** 0 takes the most likely token. */
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  /** Divides the logits of tokens that the prompt or the completion has, where they are positive, and multiplies them else. */
  readonly repetitionPenalty?: number;
  /** Ids that end a completion; the id stays in it. */
  readonly stopIds: readonly number[];
  /** Asked after each token whether the completion ends with it, by the ids so far. */
  readonly endsAfter?: ((ids: readonly number[]) => boolean) | undefined;
  /** Ids that must never be sampled: image, video and vision tokens, rows of the table that no token uses. */
  readonly bannedIds: readonly number[];
  /** Sequences of ids that a completion must not have. */
  readonly bannedSequences?: readonly IdSequence[];
  /** Each completion draws from its own fork of it, so it does not depend on its neighbours. */
  readonly random: Random;
  /** Keep what `backward` needs. Decoding computes every row of the completions, so no forward is run for it. */
  readonly keep?: boolean;
  /** Measure the attention masses of completion rows while they are sampled. */
  readonly probe?: LayerProbe | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the new tokens, for streaming; several times after a run that has computed several. */
  readonly onTokens?: ((tokens: readonly { group: number; completion: number; id: number }[]) => void) | undefined;
}

export interface Generator {
  /**
   * Samples `count` completions for each prompt. With the same `keep` and `probe`, the model's `score` would give them the
   * same scores, up to rounding.
   *
   * @returns the prompts as they came, each with its completions
   * @throws SightlineError E_DIVERGED where the model's output is not finite; the signal's reason
   */
  generate<P extends Prompt>(prompts: readonly P[], options: GenerateOptions): Promise<Scored<P, SampledCompletion>>;
  release(): Promise<void>;
}

/** @param limits model sizes at which decoding takes other ways; tests set others */
export function createGenerator(model: VisionLanguageModel, limits?: DecodeLimits): Generator {
  const { modelConfig, parameters, device } = model;
  const { text } = modelConfig;
  const memory = createWorkingMemory(device);
  const { workspace, scratch, moves } = memory;
  const exclusive = createExclusive(); // calls share the workspace
  const decode = createDecodeStep(modelConfig, parameters, memory, limits);
  const samplers = createModuleCache(device);

  /** The first tokens, drawn from the prompts' last rows. */
  async function drawFirst(
    { lastHidden }: Prefilled,
    { rows, cache }: LiveRows,
    settings: DrawSettings,
    fill: FillRows,
  ): Promise<Drawn> {
    const { banned, inverseTemperature } = settings;
    // The first token completes no sequence of several.
    const head = { ...settings.head, bansByRow: false };
    const places = cache.groups.length * cache.rows;
    requireRoom(device, `the logits of ${places} completions [${places}, ${text.vocabSize}]`, places * text.vocabSize);
    const form = formWithoutCopy(places, device);
    const sampler = samplers.get(JSON.stringify({ head, form }), () =>
      asBound(samplingHead(text, head, form), parameters, headName(text)),
    );
    const groupOf = Int32Array.from({ length: places }, (_, place) => Math.floor(place / cache.rows));
    const hidden = await moves.gather(lastHidden, groupOf, workspace.get('hidden', places, text.hiddenSize));
    const uniform = floats(byPlace(new Float32Array(places), rows, uniformOf), [places]);
    const drawn = drawnRows(memory, 'drawn first', places, head, text.vocabSize);
    const weights = weightsOf(sampler, parameters, headName(text));
    const feeds = { ...weights, hidden, banned, uniform, inverseTemperature };
    if (head.penalises !== true) await sampler.forward(feeds, { ...drawn });
    else {
      const penalty = scratch.get('first penalty', places, text.vocabSize);
      fill({ penalty, bans: null });
      await sampler.forward({ ...feeds, penalty }, { ...drawn });
    }
    return drawn;
  }

  /** The next tokens of the live rows, as many as the cache takes at once. */
  function step(
    live: LiveRows,
    { nextPositions }: Prefilled,
    settings: DrawSettings,
    { recording, probe, fill }: StepOptions,
  ): Promise<DecodedToken[]> {
    const { rows, cache, length } = live;
    const places = cache.groups.length * cache.rows;
    const uniform = new Float32Array(cache.atOnce * places);
    for (const row of rows) for (let t = 0; t < cache.atOnce; t++) uniform[t * places + row.place] = uniformOf(row);
    live.length += cache.atOnce;
    return decode.run({
      ids: byPlace(new Int32Array(places), rows, ({ last }) => last),
      positions: byPlace(new Int32Array(places), rows, ({ group }) => nextPositions[group]! + length),
      uniform,
      fill,
      cache,
      length,
      settings,
      recording,
      probe,
    });
  }

  /** Samples until every row has ended. */
  async function sample<P extends Prompt>(
    prompts: readonly P[],
    options: GenerateOptions,
  ): Promise<{ groups: Group<P, SampledCompletion>[]; prefilled: Prefilled; recording: Recording | null }> {
    const { count, maxNewTokens, stopIds, endsAfter, random, keep = false, probe, signal, onTokens } = options;
    // The last token is fed only if a probe measures its row.
    const mostSteps = Math.max(0, probe === undefined ? maxNewTokens - 1 : maxNewTokens);
    const { repetitionPenalty = 1, bannedSequences = [] } = options;
    // Both depend on the token before, which has to be drawn first.
    const atOnce =
      repetitionPenalty !== 1 || bannedSequences.length > 0
        ? 1
        : decode.tokensAtOnce(prompts.length * count, mostSteps);
    const steps = Math.ceil(mostSteps / atOnce) * atOnce;
    const recording =
      keep || probe !== undefined
        ? model.record(prompts, { count, maxTokens: maxNewTokens, steps, tape: keep }, probe)
        : null;
    const decodeProbe = probe && probeOfCache(probe);
    const settings = drawSettings(options, text.vocabSize, recording?.logps ?? false);
    const cache = await createKvCache(memory, {
      kvHeads: text.numKeyValueHeads,
      headDim: text.headDim,
      layers: text.numHiddenLayers,
      promptLengths: prompts.map(({ ids }) => ids.length),
      rows: count,
      maxTokens: maxNewTokens,
      atOnce,
    });
    const prefilled = await model.prefill(
      prompts,
      (layer, group, k, v) => setPrompt(cache, layer, group, k, v),
      recording ?? undefined,
    );
    const all = newRows(prompts.length, count, random);
    const result = () => ({
      groups: prompts.map((prompt, g) => ({
        prompt,
        completions: all.filter(({ group }) => group === g).map(sampledOf),
      })),
      prefilled,
      recording,
    });
    const live: LiveRows = { rows: all, cache, length: 0 };
    if (all.length === 0 || maxNewTokens === 0) return result();
    const promptIds = prompts.map(({ ids }) => ids);
    const penalty = { vocabSize: text.vocabSize, penalty: settings.repetitionPenalty };
    const fill: FillRows = (rows) => {
      if (rows.penalty !== null) writePenalties(rows.penalty.data, live.rows, promptIds, penalty);
      if (rows.bans !== null) writeBans(rows.bans.data, live.rows, settings.banned.data, bannedSequences);
    };

    const accept = async (rows: readonly LiveRow[], { id, logp, entropy, logps }: Drawn): Promise<void> => {
      for (const row of rows) {
        if (!Number.isFinite(logp.data[row.place])) throw notFinite(row.ids.length);
        row.last = id.data[row.place]!;
        row.ids.push(row.last);
        row.logps.push(logp.data[row.place]!);
        row.entropies.push(entropy.data[row.place]!);
        row.finished = stopIds.includes(row.last) || endsAfter?.(row.ids) === true;
      }
      if (logps !== undefined && recording !== null) await recording.drawn(rows.map(newestOf), logps, placesOf(rows));
      onTokens?.(rows.map(({ group, completion, last }) => ({ group, completion, id: last })));
    };
    const goesOn = ({ finished, ids }: LiveRow): boolean => !finished && ids.length < maxNewTokens;
    await accept(all, await drawFirst(prefilled, live, settings, fill));
    const stepOptions: StepOptions = { recording, probe: decodeProbe, fill };
    while (true) {
      signal?.throwIfAborted();
      // With a probe, a row stays until its last token has been measured.
      const isWanted = (row: LiveRow): boolean => goesOn(row) || (probe !== undefined && row.ids.length > live.length);
      const wanted = live.rows.filter(isWanted);
      if (wanted.length === 0) break;
      await keepOnly(live, wanted);
      live.cache = await withRoom(live.cache, live.length);
      const first = live.length;
      for (const [t, { rows, drawn }] of (await step(live, prefilled, settings, stepOptions)).entries()) {
        signal?.throwIfAborted();
        // A row that had ended before this token was computed in vain.
        const standing = live.rows.filter(({ ids }) => ids.length === first + t + 1);
        if (rows !== null) for (const row of standing) recording?.stands(newestOf(row), rows, row.place);
        const going = standing.filter(goesOn);
        if (going.length > 0) await accept(going, drawn);
      }
    }
    return result();
  }

  return {
    generate: (prompts, options) =>
      exclusive(async () => {
        // Buffers that the decode step has bound may move before the next call.
        const { groups, prefilled, recording } = await sample(prompts, options).finally(() => decode.forget());
        if (recording === null) return { groups, tape: null };
        return model.scoreRecorded(recording, prefilled, groups, options.temperature);
      }),

    async release() {
      await Promise.all([decode, samplers, moves].map((part) => part.release()));
    },
  };
}

// --- internal ---

interface StepOptions {
  readonly recording: Recording | null;
  readonly probe: DecodeProbe | undefined;
  readonly fill: FillRows;
}

/** Writes what depends on the tokens so far. */
type FillRows = DecodeStepInputs['fill'];

/** Without probabilities, a draw would still give an id; text and rewards made of it would only look meaningful. */
const notFinite = (tokens: number): SightlineError =>
  new SightlineError('E_DIVERGED', `the model's output is not finite: token ${tokens + 1} has no probability`, {
    hint: 'weights or activations overflow; go back to an earlier checkpoint, or lower --learning_rate',
    exitCode: 4,
  });

/** The probe with its indicators in one tensor, over the groups that a cache holds. */
function probeOfCache({ layers, spans, indicators }: LayerProbe): DecodeProbe {
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
