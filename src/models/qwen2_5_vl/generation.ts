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
import type { Group, Qwen2_5_VLModel } from './model.ts';
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
  readonly finished: boolean;
}

export interface Generator {
  /** Per prompt, `count` completions. */
  generate(prompts: readonly Omit<Group, 'completions'>[], options: GenerateOptions): Promise<Generated[][]>;
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
  const table = (): FloatTensor => parameters.value('model.embed_tokens.weight');

  /** One decode step: hidden [R, h] of the live rows, given the last ids and their positions. */
  async function step(live: readonly LiveRow[], groups: readonly GroupState[]): Promise<FloatTensor> {
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
    for (let layer = 0; layer < text.numHiddenLayers; layer++) {
      const nameOf = (param: string): string => `model.layers.${layer}.${param}`;
      const q = workspace.get('q', count, heads.heads * heads.headDim);
      const k = workspace.get('k', count, heads.kvHeads * heads.headDim);
      const v = workspace.get('v', count, heads.kvHeads * heads.headDim);
      const o = workspace.get('o', count, heads.heads * heads.headDim);
      await before.forward({ ...weightsOf(before, parameters, nameOf), ...angles, x }, { q, k, v });
      let first = 0;
      for (const { cache } of groups) {
        if (cache.rows === 0) continue;
        const end = first + cache.rows;
        const layerCache = cache.layers[layer]!;
        appendStep(cache, layerCache, rowsOf(k, first, end), rowsOf(v, first, end));
        await attend.forward(
          { q: rowsOf(q, first, end), ...cacheFeeds(cache, layerCache) },
          { out: rowsOf(o, first, end) },
        );
        first = end;
      }
      const y = workspace.get(`x.${(layer + 1) % 2}`, count, text.hiddenSize);
      await after.forward({ ...weightsOf(after, parameters, nameOf), x, o }, { y });
      x = y;
    }
    for (const group of groups) {
      if (group.cache.rows === 0) continue;
      group.cache.length++;
      group.nextPosition++;
    }
    return x;
  }

  return {
    async generate(prompts, options) {
      const { count, maxNewTokens, temperature, stopIds, bannedIds, random, signal, onTokens } = options;
      const rule: SamplingRule = { greedy: temperature === 0, topK: options.topK ?? 0, topP: options.topP ?? 1 };
      const inverseTemperature = floats(Float32Array.of(temperature === 0 ? 1 : 1 / temperature), []);
      const banned = floats(new Float32Array(text.vocabSize), [text.vocabSize]);
      for (const id of bannedIds) banned.data[id] = Number.NEGATIVE_INFINITY;

      const { groups, lastHidden } = await prefill(model, prompts, count, maxNewTokens);
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
            finished: false,
          }),
        ),
      );
      const all = live;
      let hidden = workspace.get('x.0', live.length, text.hiddenSize);
      live.forEach(({ group }, i) => {
        hidden.data.set(rowsOf(lastHidden, group, group + 1).data, i * text.hiddenSize);
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
          row.finished = stopIds.includes(row.last);
        });
        onTokens?.(live.map(({ group, completion, last }) => ({ group, completion, id: last })));
        if (token + 1 === maxNewTokens) break;
        live = dropFinished(live, groups);
        if (live.length > 0) hidden = await step(live, groups);
      }
      return groups.map((_, g) =>
        all
          .filter(({ group }) => group === g)
          .sort((a, b) => a.completion - b.completion)
          .map(({ ids, logps, finished }) => ({
            ids: Int32Array.from(ids),
            logps: Float32Array.from(logps),
            finished,
          })),
      );
    },

    async release() {
      const modules = [few, many].flatMap(({ before, after }) => [before, after]);
      await Promise.all([
        few.release(),
        many.release(),
        attend.release(),
        ...modules.map((module) => module.release()),
      ]);
    },
  };
}

/** Ids that no token of the tokenizer uses: rows that only pad the table. */
export function unusedIds(vocabSize: number, usedIds: ReadonlySet<number>): number[] {
  return Array.from({ length: vocabSize }, (_, id) => id).filter((id) => !usedIds.has(id));
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
  finished: boolean;
}

interface GroupState {
  readonly cache: GroupCache;
  /** Rotary position of the next token, the same on all three axes. */
  nextPosition: number;
}

/** Runs the prompts once, fills their caches, and returns the hidden row that predicts each group's first token. */
async function prefill(
  model: Qwen2_5_VLModel,
  prompts: readonly Omit<Group, 'completions'>[],
  count: number,
  maxNewTokens: number,
): Promise<{ groups: GroupState[]; lastHidden: FloatTensor }> {
  const { numKeyValueHeads: kvHeads, headDim } = model.sizes.text;
  const caches = prompts.map(() => createGroupCache(kvHeads, headDim, count, maxNewTokens));
  const { lastHidden, nextPositions } = await model.prefill(prompts, (group, k, v) => addLayer(caches[group]!, k, v));
  const groups = caches.map((cache, g): GroupState => ({ cache, nextPosition: nextPositions[g]! }));
  return { groups, lastHidden };
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
