/**
 * Runs attention over a packed batch with the implementation that is asked for, forward and backward.
 * `eager` and `sdpa` take each group in two products, unless these would run too long; `flash_attention_2` goes tile by
 * tile, with memory linear in length.
 */
import type { Heads } from '../nn/attention.ts';
import { causalAttention, sharedPromptAttention, tiledAttention } from '../nn/attention_modules.ts';
import { createModuleCache } from '../runtime/compiled_module.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device } from '../runtime/device.ts';
import { type FloatTensor, floats, rows, type Tensor, view } from '../runtime/tensor.ts';
import { causalFeeds, cutOn, type Projections, sharedFeeds, sharedIndicator } from './attention_feeds.ts';
import { sideBySide } from './attention_side_by_side.ts';
import { tiledParts, tileFeeds, tileIndicator, tilesOf } from './attention_tiles.ts';
import type { PackedBatch } from './packed.ts';
import { BACKWARD } from './run_limits.ts';

export type AttentionImplementation = 'eager' | 'sdpa' | 'flash_attention_2';

/**
 * Spans of prompt columns whose attention mass is measured. Per group an indicator [prompt columns, spans]: 1 where the column
 * belongs to the span, else 0.
 */
export interface Probe {
  readonly spans: number;
  readonly indicators: readonly Float32Array[];
}

/** Asks for the attention weights of completion rows on every column. */
export interface MapRequest {
  /** Number by which each head counts: [heads]. */
  readonly headWeights: FloatTensor;
  readonly onRows: (rows: MapRows) => void;
}

/** Attention weights of consecutive tokens of a completion, summed over the heads with their numbers. */
export interface MapRows {
  readonly group: number;
  /** Place of the completion in its group. */
  readonly completion: number;
  /** Place of the first of the tokens in the completion. */
  readonly first: number;
  /** [tokens, columns]: the prompt, then the completion; columns that come later than a token are 0. */
  readonly weights: FloatTensor;
}

export interface AttendOptions {
  readonly implementation: AttentionImplementation;
  /** Writes the masses of all completion rows, in packed order: [C, spans]. */
  readonly probe?: { readonly probe: Probe; readonly masses: FloatTensor };
  readonly map?: MapRequest | undefined;
}

export interface TextAttention {
  /** Writes attention's result for every row into `o` [N, heads * d]. */
  forward(batch: PackedBatch, projections: Projections, o: Tensor, options: AttendOptions): Promise<void>;
  /** The same for a batch of prompts, with the weights [heads, S, S] of each, for `output_attentions`. */
  forwardWithWeights(batch: PackedBatch, projections: Projections, o: Tensor): Promise<FloatTensor[]>;
  /** Writes cotangents of q, k, v given that of o. */
  backward(
    batch: PackedBatch,
    projections: Projections,
    dO: Tensor,
    into: Projections,
    implementation: AttentionImplementation,
  ): Promise<void>;
  release(): Promise<void>;
}

export function createTextAttention(heads: Heads, device: Device = cpu): TextAttention {
  const modules = createModuleCache(device);
  const cut = cutOn(device);
  const causal = () => modules.get('causal', () => causalAttention(heads));
  const weighted = () => modules.get('weighted', () => causalAttention(heads, { weights: true }));
  const shared = (spans: number, map = false) =>
    modules.get(`shared ${spans} ${map}`, () => sharedPromptAttention(heads, { spans, map }), {
      from: ['out'],
      accumulateInputs: ['kPrefix', 'vPrefix'],
    });
  const tiled = (spans: number, map = false) =>
    modules.get(`tiled ${spans} ${map}`, () => tiledAttention(heads, { spans, map }), {
      from: ['out'],
      accumulateInputs: ['k', 'v', 'kPrefix', 'vPrefix'],
    });
  const empty = floats(new Float32Array(0), [0, heads.kvHeads * heads.headDim]);

  return {
    async forward(batch, projections, o, { implementation, probe, map }) {
      let completionRow = 0;
      const flash = implementation === 'flash_attention_2';
      const apart = flash || probe !== undefined || map !== undefined;
      const groups = apart ? batch.groups : sideBySide(batch.groups);
      const headFeeds: Record<string, Tensor> = map === undefined ? {} : { headWeights: map.headWeights };
      for (const [g, group] of groups.entries()) {
        const { prompt, completionRows } = group;
        const measured =
          probe === undefined || group.completions.length === 0
            ? undefined
            : {
                spans: probe.probe.spans,
                indicator: probe.probe.indicators[g]!,
                masses: rows(probe.masses, completionRow, completionRow + completionRows.length),
              };
        const inTiles = tiledParts(group, heads, { all: flash });
        for (const tile of tilesOf(group, inTiles, heads)) {
          const masses = tile.prefix === null ? undefined : measured;
          const local = tile.rows.start - completionRows.start;
          const wantsMap = tile.prefix !== null && map !== undefined;
          const result = await tiled(masses?.spans ?? 0, wantsMap).forward(
            {
              ...tileFeeds(tile, projections, empty, cut),
              ...tileIndicator(tile, masses),
              ...(wantsMap ? headFeeds : {}),
            },
            {
              out: cut(o, tile.rows),
              ...(masses === undefined ? {} : { masses: rows(masses.masses, local, local + tile.rows.length) }),
            },
          );
          if (wantsMap) {
            const completion = group.completions.findIndex(({ start }) => start === tile.columns.start);
            const first = tile.rows.start - tile.columns.start;
            map.onRows({ group: g, completion, first, weights: result.map! });
          }
        }
        if (prompt.length > 0 && !inTiles.prompt) {
          await causal().forward(causalFeeds(prompt, projections, cut), { out: cut(o, prompt) });
        }
        if (completionRows.length > 0 && !inTiles.completions) {
          const result = await shared(measured?.spans ?? 0, map !== undefined).forward(
            { ...sharedFeeds(group, projections, cut), ...sharedIndicator(group, measured), ...headFeeds },
            { out: cut(o, completionRows), ...(measured === undefined ? {} : { masses: measured.masses }) },
          );
          if (map !== undefined) {
            const [, longest, columns] = result.map!.dims as [number, number, number];
            const flat = view(result.map!, group.completions.length * longest, columns);
            for (const [completion, { length }] of group.completions.entries()) {
              const from = completion * longest;
              map.onRows({ group: g, completion, first: 0, weights: rows(flat, from, from + length) });
            }
          }
        }
        completionRow += completionRows.length;
      }
    },

    async forwardWithWeights(batch, projections, o) {
      const weights: FloatTensor[] = [];
      for (const { prompt } of batch.groups) {
        const result = await weighted().forward(causalFeeds(prompt, projections, cut), { out: cut(o, prompt) });
        weights.push(result.weights!);
      }
      return weights;
    },

    async backward(batch, projections, dO, into, implementation) {
      const flash = implementation === 'flash_attention_2';
      const groups = flash ? batch.groups : sideBySide(batch.groups);
      for (const group of groups) {
        const { prompt, completionRows } = group;
        const inTiles = tiledParts(group, heads, { all: flash, times: BACKWARD });
        if (prompt.length > 0 && !inTiles.prompt) {
          await causal().backward(
            { ...causalFeeds(prompt, projections, cut), 'd.out': cut(dO, prompt) },
            { 'd.q': cut(into.q, prompt), 'd.k': cut(into.k, prompt), 'd.v': cut(into.v, prompt) },
          );
        }
        // Tiles add to the cotangents of their columns, so these start at 0, unless the product of a whole prompt has set them.
        for (const d of [into.k, into.v]) {
          if (inTiles.prompt) await device.clear(cut(d, prompt));
          if (inTiles.completions) await device.clear(cut(d, completionRows));
        }
        for (const tile of tilesOf(group, inTiles, heads, BACKWARD)) {
          const dK = cut(into.k, tile.columns);
          const dV = cut(into.v, tile.columns);
          const dKPrefix = tile.prefix === null ? empty : cut(into.k, tile.prefix);
          const dVPrefix = tile.prefix === null ? empty : cut(into.v, tile.prefix);
          await tiled(0).backward(
            {
              ...tileFeeds(tile, projections, empty, cut),
              'd.out': cut(dO, tile.rows),
              'acc.k': dK,
              'acc.v': dV,
              'acc.kPrefix': dKPrefix,
              'acc.vPrefix': dVPrefix,
            },
            {
              'd.q': cut(into.q, tile.rows),
              'grad.k': dK,
              'grad.v': dV,
              'grad.kPrefix': dKPrefix,
              'grad.vPrefix': dVPrefix,
            },
          );
        }
        if (completionRows.length === 0 || inTiles.completions) continue;
        const dKPrompt = cut(into.k, prompt);
        const dVPrompt = cut(into.v, prompt);
        await shared(0).backward(
          {
            ...sharedFeeds(group, projections, cut),
            'd.out': cut(dO, completionRows),
            'acc.kPrefix': dKPrompt,
            'acc.vPrefix': dVPrompt,
          },
          {
            'd.q': cut(into.q, completionRows),
            'd.k': cut(into.k, completionRows),
            'd.v': cut(into.v, completionRows),
            'grad.kPrefix': dKPrompt,
            'grad.vPrefix': dVPrompt,
          },
        );
      }
    },

    release: () => modules.release(),
  };
}
