/**
 * Sampling completions: prompts are computed once per group, then all live rows of all groups step together.
 * What is sampled are ids; they are kept as they are and never turned into text and back here.
 */
import { decodeAttention } from '../../nn/decode_attention.ts';
import { linear, linearFewRows } from '../../nn/linear.ts';
import { type CompiledModule, compileModule } from '../../runtime/compiled_module.ts';
import type { RuntimeOptions } from '../../runtime/session.ts';
import { type FloatTensor, floats, rows as rowsOf } from '../../runtime/tensor.ts';
import { createWorkspace } from '../../runtime/workspace.ts';
import type { Random } from '../../util/random.ts';
import { weightsOf } from './bindings.ts';
import { addLayer, appendStep, cacheFeeds, createGroupCache, dropRow, type GroupCache, reserve } from './kv_cache.ts';
import type { LayerProbe, Prefilled, Prompt, Qwen2_5_VLModel, Scored } from './model.ts';
import type { Recording } from './recording.ts';
import { type SamplingRule, samplingHead } from './sampling.ts';
import { headName } from './scoring.ts';
import { attentionInput, attentionOutput } from './text.ts';
import { textAngles } from './text_decoder.ts';

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
  /** Ended by a stop id; otherwise cut off by maxNewTokens. */
  /** Entropy of the distribution each id was drawn from. */
  readonly entropies: Float32Array;
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

/** Up to this many rows the weights are streamed from the left (measured: see docs/log.md). */
const FEW_ROWS = 32;

export function createGenerator(model: Qwen2_5_VLModel, runtime: RuntimeOptions = {}): Generator {
  const { sizes, parameters } = model;
  const { text } = sizes;
  const heads = { heads: text.numAttentionHeads, kvHeads: text.numKeyValueHeads, headDim: text.headDim };
  const workspace = createWorkspace();
  const forRows = (few: boolean) => {
    const apply = few ? linearFewRows : linear;
    const samplers = new Map<string, CompiledModule>();
    return {
      before: compileModule(attentionInput(text, apply), {}, runtime),
      after: compileModule(attentionOutput(text, apply), {}, runtime),
      sampler(rule: SamplingRule): CompiledModule {
        const key = JSON.stringify(rule);
        const known = samplers.get(key) ?? compileModule(samplingHead(text, rule, apply), {}, runtime);
        samplers.set(key, known);
        return known;
      },
      release: (): Promise<unknown> => Promise.all([...samplers.values()].map((module) => module.release())),
    };
  };
  const few = forRows(true);
  const many = forRows(false);
  const attend = compileModule(decodeAttention(heads), {}, runtime);
  const probing = new Map<number, CompiledModule>();
  const attendProbing = (spans: number): CompiledModule => {
    const known = probing.get(spans) ?? compileModule(decodeAttention(heads, spans), {}, runtime);
    probing.set(spans, known);
    return known;
  };
  const table = (): FloatTensor => parameters.value('model.embed_tokens.weight');

  /** One decode step: hidden [R, h] of the live rows, given the last ids and their positions. */
  async function step(
    live: readonly LiveRow[],
    groups: readonly GroupState[],
    record: RecordedProbe | null,
  ): Promise<FloatTensor> {
    const count = live.length;
    const { before, after } = count <= FEW_ROWS ? few : many;
    let x = workspace.get('x.0', count, text.hiddenSize);
    const positions = new Int32Array(3 * count);
    live.forEach((row, i) => {
      const h = text.hiddenSize;
      x.data.set(table().data.subarray(row.last * h, (row.last + 1) * h), i * h);
      const { nextPosition } = groups[row.group]!;
      for (let axis = 0; axis < 3; axis++) positions[axis * count + i] = nextPosition;
    });
    const angles = textAngles(text, { rows: count, positions });
    for (const { cache } of groups) if (cache.rows > 0) reserve(cache);
    const places = live.map(
      ({ group, completion, ids }) => record?.recording.place(group, completion, ids.length - 1) ?? 0,
    );
    for (let layer = 0; layer < text.numHiddenLayers; layer++) {
      const nameOf = (param: string): string => `model.layers.${layer}.${param}`;
      const q = workspace.get('q', count, heads.heads * heads.headDim);
      const k = workspace.get('k', count, heads.kvHeads * heads.headDim);
      const v = workspace.get('v', count, heads.kvHeads * heads.headDim);
      const o = workspace.get('o', count, heads.heads * heads.headDim);
      await before.forward({ ...weightsOf(before, parameters, nameOf), ...angles, x }, { q, k, v });
      const spans = record?.recording.probedLayers.includes(layer) ? record.recording.spans : 0;
      const masses = spans === 0 ? null : workspace.get('masses', count, spans);
      let first = 0;
      for (const [g, { cache }] of groups.entries()) {
        if (cache.rows === 0) continue;
        const end = first + cache.rows;
        const layerCache = cache.layers[layer]!;
        appendStep(cache, layerCache, rowsOf(k, first, end), rowsOf(v, first, end));
        const feeds = { q: rowsOf(q, first, end), ...cacheFeeds(cache, layerCache) };
        const out = rowsOf(o, first, end);
        if (masses === null) await attend.forward(feeds, { out });
        else {
          const indicator = record!.indicators[g]!;
          await attendProbing(spans).forward({ ...feeds, indicator }, { out, masses: rowsOf(masses, first, end) });
        }
        first = end;
      }
      record?.recording.step(layer, places, x, o, masses);
      const y = workspace.get(`x.${(layer + 1) % 2}`, count, text.hiddenSize);
      await after.forward({ ...weightsOf(after, parameters, nameOf), x, o }, { y });
      x = y;
    }
    for (const group of groups) {
      if (group.cache.rows === 0) continue;
      group.cache.length++;
      group.nextPosition++;
    }
    record?.recording.stepHidden(places, x);
    return x;
  }

  /** Samples until every row has ended; with a recording, the rows of last tokens are computed too. */
  async function sample(
    prompts: readonly Prompt[],
    options: GenerateOptions,
    record: RecordedProbe | null,
  ): Promise<{ generated: Generated[][]; prefilled: Prefilled }> {
    const { count, maxNewTokens, temperature, stopIds, bannedIds, random, signal, onTokens } = options;
    const rule: SamplingRule = { greedy: temperature === 0, topK: options.topK ?? 0, topP: options.topP ?? 1 };
    const inverseTemperature = floats(Float32Array.of(temperature === 0 ? 1 : 1 / temperature), []);
    const banned = floats(new Float32Array(text.vocabSize), [text.vocabSize]);
    for (const id of bannedIds) banned.data[id] = Number.NEGATIVE_INFINITY;

    const { groups, prefilled } = await prefill(model, prompts, options, record?.recording);
    let live: LiveRow[] = groups.flatMap((_, group) =>
      Array.from(
        { length: count },
        (_, completion): LiveRow => ({
          group,
          completion,
          random: random.fork(`${group}/${completion}`),
          last: -1,
          ids: [],
          logps: [],
          entropies: [],
          finished: false,
        }),
      ),
    );
    const all = live;
    let hidden = workspace.get('x.0', live.length, text.hiddenSize);
    live.forEach(({ group }, i) => {
      hidden.data.set(rowsOf(prefilled.lastHidden, group, group + 1).data, i * text.hiddenSize);
    });

    for (let token = 0; token < maxNewTokens && live.length > 0; token++) {
      signal?.throwIfAborted();
      const sampler = (live.length <= FEW_ROWS ? few : many).sampler(rule);
      const uniform = Float32Array.from(live, (row) => Math.min(row.random.next(), LARGEST_UNIFORM));
      const sampled = await sampler.forward({
        ...weightsOf(sampler, parameters, headName(text)),
        hidden,
        banned,
        uniform: floats(uniform, [live.length]),
        inverseTemperature,
      });
      live.forEach((row, i) => {
        row.last = sampled.id!.data[i]!;
        row.ids.push(row.last);
        row.logps.push(sampled.logp!.data[i]!);
        row.entropies.push(sampled.entropy!.data[i]!);
        row.finished = stopIds.includes(row.last);
      });
      onTokens?.(live.map(({ group, completion, last }) => ({ group, completion, id: last })));
      const last = token + 1 === maxNewTokens;
      if (record === null) {
        if (last) break;
        live = dropFinished(live, groups);
        if (live.length > 0) hidden = await step(live, groups, null);
      } else {
        const after = await step(live, groups, record);
        const kept = dropFinished(live, groups);
        hidden = workspace.get('kept', kept.length, text.hiddenSize);
        for (const [i, row] of kept.entries()) {
          const from = live.indexOf(row);
          hidden.data.set(rowsOf(after, from, from + 1).data, i * text.hiddenSize);
        }
        live = kept;
      }
    }
    const generated = groups.map((_, g) =>
      all
        .filter(({ group }) => group === g)
        .sort((a, b) => a.completion - b.completion)
        .map(
          ({ ids, logps, entropies, finished }): Generated => ({
            ids: Int32Array.from(ids),
            logps: Float32Array.from(logps),
            entropies: Float32Array.from(entropies),
            finished,
          }),
        ),
    );
    return { generated, prefilled };
  }

  return {
    generate: async (prompts, options) => (await sample(prompts, options, null)).generated,

    async generateAndScore(prompts, options, probe) {
      const recording = model.record(prompts, { count: options.count, maxTokens: options.maxNewTokens }, probe);
      const indicators = (probe?.indicators ?? []).map((data) =>
        floats(data, [data.length / recording.spans, recording.spans]),
      );
      const { generated, prefilled } = await sample(prompts, options, { recording, indicators });
      const groups = prompts.map((prompt, g) => ({
        ...prompt,
        completions: generated[g]!.map(({ ids }) => ids),
        logps: generated[g]!.map(({ logps }) => logps),
        entropies: generated[g]!.map(({ entropies }) => entropies),
      }));
      return { generated, scored: model.scoredFrom(recording, prefilled, groups, options.temperature) };
    },

    async release() {
      const modules = [few, many].flatMap(({ before, after }) => [before, after]);
      await Promise.all([
        few.release(),
        many.release(),
        attend.release(),
        ...[...modules, ...probing.values()].map((module) => module.release()),
      ]);
    },
  };
}

// --- internal ---

/** Below 1 even after float32 rounding of a product with it. */
const LARGEST_UNIFORM = 1 - 2 ** -20;

interface LiveRow {
  readonly group: number;
  readonly completion: number;
  readonly random: Random;
  last: number;
  readonly ids: number[];
  readonly logps: number[];
  readonly entropies: number[];
  finished: boolean;
}

interface GroupState {
  readonly cache: GroupCache;
  /** Rotary position of the next token, the same on all three axes. */
  nextPosition: number;
}

/** A recording, and per group the indicator [prompt, spans] of its probe. */
interface RecordedProbe {
  readonly recording: Recording;
  readonly indicators: readonly FloatTensor[];
}

/** Runs the prompts once and fills their caches. */
async function prefill(
  model: Qwen2_5_VLModel,
  prompts: readonly Prompt[],
  { count, maxNewTokens }: Pick<GenerateOptions, 'count' | 'maxNewTokens'>,
  recording: Recording | undefined,
): Promise<{ groups: GroupState[]; prefilled: Prefilled }> {
  const { numKeyValueHeads: kvHeads, headDim } = model.sizes.text;
  const caches = prompts.map(() => createGroupCache(kvHeads, headDim, count, maxNewTokens));
  const prefilled = await model.prefill(prompts, (group, k, v) => addLayer(caches[group]!, k, v), recording);
  const groups = caches.map((cache, g): GroupState => ({ cache, nextPosition: prefilled.nextPositions[g]! }));
  return { groups, prefilled };
}

/** The rows that go on, in the order of their caches' rows: a dropped row's place is taken by its group's last. */
function dropFinished(live: readonly LiveRow[], groups: readonly GroupState[]): LiveRow[] {
  const kept: LiveRow[] = [];
  for (const [g, { cache }] of groups.entries()) {
    const rows = live.filter(({ group }) => group === g);
    for (let row = rows.length - 1; row >= 0; row--) {
      if (!rows[row]!.finished) continue;
      dropRow(cache, row);
      const last = rows.pop()!;
      if (row < rows.length) rows[row] = last;
    }
    kept.push(...rows);
  }
  return kept;
}
