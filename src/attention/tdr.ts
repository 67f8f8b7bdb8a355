/**
 * The text-dominance ratio (TDR) of one completion: the attention its tokens give to a text column of the prompt, divided by
 * the attention they give to a visual column. Knows token columns and attention numbers; knows no images, texts or rewards.
 *
 * Definition (DDAPO reward of the ms-swift fork). Rows t are the completion's positions; columns are the prompt without its
 * system block; V are its image and video pads, T the other columns. Over the last K layers, mean over heads:
 *   attn_prompt = attn_t[prompt] / (sum(attn_t[prompt]) + eps)
 *   rho_vis  = mean_t(mean_layers(sum over V of attn_prompt)) / |V|,  rho_text the same over T
 *   TDR = rho_text / (rho_vis + eps)
 */
import { SightlineError } from '../errors.ts';

/** K: TDR uses this many last layers, or all if the model has fewer. */
export const TDR_LAYERS = 8;
export const TDR_EPS = 1e-6;

/** One layer's attention weights after softmax, row-major, as `output_attentions` returns them. */
export interface AttentionTensor {
  readonly data: Float32Array;
  /** (B, H, S, S): batch, head, query row, key column. */
  readonly dims: readonly [number, number, number, number];
}

/** Attention of each completion row on all visual and on all text columns, mean over heads. */
export interface AttentionMasses {
  /** One array (T) per layer, first layer first. */
  readonly visual: readonly Float32Array[];
  readonly text: readonly Float32Array[];
  /** On the system block; absent where it was not measured. TDR does not use it. */
  readonly system?: readonly Float32Array[];
}

/** The columns and rows that TDR reads, as positions in prompt + completion. */
export interface TdrSpans {
  readonly visual: Int32Array;
  readonly text: Int32Array;
  /** Position of the first completion token: the length of the prompt. */
  readonly firstRow: number;
  /** Number of completion tokens, T. */
  readonly rows: number;
}

export interface Tdr {
  readonly tdr: number;
  readonly rhoVis: number;
  readonly rhoText: number;
  readonly nVis: number;
  readonly nText: number;
  /** Per completion token: attn_vis_t / |V| and attn_text_t / |T|; their means are rhoVis and rhoText. (T) */
  readonly perTokenVis: Float64Array;
  readonly perTokenText: Float64Array;
}

/** Says why TDR has no value. */
export interface TdrUndefined {
  readonly undefined: string;
}

export type TdrResult = Tdr | TdrUndefined;

export function isTdr(result: TdrResult): result is Tdr {
  return 'tdr' in result;
}

/**
 * Splits a prompt's columns into visual and text ones, leaving out the system block.
 *
 * @param promptIds prompt tokens with image pads expanded
 * @param systemPrefix tokens of the system block at the start of the prompt
 * @param rows number of completion tokens
 * @param visualIds ids of image and video pad tokens
 */
export function tdrSpans(
  promptIds: ArrayLike<number>,
  systemPrefix: number,
  rows: number,
  visualIds: readonly number[],
): TdrSpans {
  const visual: number[] = [];
  const text: number[] = [];
  for (let column = systemPrefix; column < promptIds.length; column++) {
    (visualIds.includes(promptIds[column]!) ? visual : text).push(column);
  }
  return { visual: Int32Array.from(visual), text: Int32Array.from(text), firstRow: promptIds.length, rows };
}

/** The reason why TDR has no value for these spans, whatever the attention; null if it has one. */
export function undefinedReason(spans: Pick<TdrSpans, 'rows'> & { nVis: number; nText: number }): string | null {
  if (spans.rows === 0) return 'empty completion';
  if (spans.nVis === 0) return 'no visual tokens';
  if (spans.nText === 0) return 'no text tokens';
  return null;
}

/**
 * TDR from full attention weights.
 *
 * @param attentions one tensor (1, H, S, S) per layer
 * @throws SightlineError E_ATTENTION_SHAPE if a tensor does not cover prompt + completion
 */
export function tdrFromAttentions(attentions: readonly AttentionTensor[], spans: TdrSpans): TdrResult {
  const reason = undefinedReason({ rows: spans.rows, nVis: spans.visual.length, nText: spans.text.length });
  if (reason !== null) return { undefined: reason };
  const layers = attentions.slice(-TDR_LAYERS);
  return tdrFromMasses(
    {
      visual: layers.map((layer) => headMeanMass(layer, spans, spans.visual)),
      text: layers.map((layer) => headMeanMass(layer, spans, spans.text)),
    },
    spans.visual.length,
    spans.text.length,
  );
}

/**
 * TDR from attention masses, the form that the fused probe yields. The sum over the prompt is the sum of the two masses,
 * because every prompt column outside the system block is either visual or text.
 *
 * @param masses per layer; of more than `TDR_LAYERS` layers, the last ones count
 * @throws SightlineError E_ATTENTION_SHAPE if the layers differ in length
 */
export function tdrFromMasses(masses: MassSequences, nVis: number, nText: number): TdrResult {
  const visual = masses.visual.slice(-TDR_LAYERS);
  const text = masses.text.slice(-TDR_LAYERS);
  const rows = visual[0]?.length ?? 0;
  if (visual.length !== text.length || [...visual, ...text].some((layer) => layer.length !== rows)) {
    throw new SightlineError('E_ATTENTION_SHAPE', 'attention masses of the layers differ in length', {
      hint: 'visual and text need one row per completion token for the same layers',
    });
  }
  if (visual.length === 0) return { undefined: 'no attention layers' };
  const reason = undefinedReason({ rows, nVis, nText });
  if (reason !== null) return { undefined: reason };

  const perTokenVis = new Float64Array(rows);
  const perTokenText = new Float64Array(rows);
  let rhoVis = 0;
  let rhoText = 0;
  for (let t = 0; t < rows; t++) {
    for (let layer = 0; layer < visual.length; layer++) {
      const v = visual[layer]![t]!;
      const x = text[layer]![t]!;
      const total = v + x + TDR_EPS;
      perTokenVis[t]! += v / total / visual.length / nVis;
      perTokenText[t]! += x / total / visual.length / nText;
    }
    rhoVis += perTokenVis[t]! / rows;
    rhoText += perTokenText[t]! / rows;
  }
  const tdr = rhoText / (rhoVis + TDR_EPS);
  if (!Number.isFinite(tdr)) return { undefined: 'attention is not finite' };
  return { tdr, rhoVis, rhoText, nVis, nText, perTokenVis, perTokenText };
}

// --- internal ---

/** Masses in either precision: float32 from a kernel, float64 when summed here. */
interface MassSequences {
  readonly visual: readonly (Float32Array | Float64Array)[];
  readonly text: readonly (Float32Array | Float64Array)[];
}

/** Attention of each completion row on the given columns, summed over columns, mean over heads. (T) */
function headMeanMass(layer: AttentionTensor, spans: TdrSpans, columns: Int32Array): Float64Array {
  const [batch, heads, queries, keys] = layer.dims;
  const need = spans.firstRow + spans.rows;
  if (batch !== 1 || queries < need || keys < need || layer.data.length !== heads * queries * keys) {
    throw new SightlineError(
      'E_ATTENTION_SHAPE',
      `attention weights have shape (${layer.dims.join(', ')}) with ${layer.data.length} numbers, but the sequence has ${need} tokens`,
      { hint: 'attentions must be (1, H, S, S) over prompt + completion' },
    );
  }
  const mass = new Float64Array(spans.rows);
  for (let head = 0; head < heads; head++) {
    for (let t = 0; t < spans.rows; t++) {
      const row = (head * queries + spans.firstRow + t) * keys;
      let sum = 0;
      for (let i = 0; i < columns.length; i++) sum += layer.data[row + columns[i]!]!;
      mass[t]! += sum / heads;
    }
  }
  return mass;
}
