/**
 * Embeddings of a packed batch: a table row per token, and visual tokens in place of the prompt's image pads.
 * A deepstack tower also gives vectors that are added to the stream at the rows of visual tokens, after the first layers.
 */
import type { FloatTensor } from '../runtime/tensor.ts';
import type { PackedBatch } from './packed.ts';

/**
 * Per group, the hashes of its images in order; and visual tokens by hash [tokens, width]. Their first `hidden` columns are
 * embeddings, the next ones are added after layer 0, and so on.
 */
export interface VisualInputs {
  readonly imagesOfGroup: readonly (readonly string[])[];
  readonly tokens: ReadonlyMap<string, FloatTensor>;
}

/** The packed row of one visual token: token `token` of the image `hash`. */
interface Placement {
  readonly row: number;
  readonly hash: string;
  readonly token: number;
}

/**
 * Writes embeddings [rows, hidden] into `target`.
 * @throws where the number of image pads of a prompt is not that of its visual tokens
 */
export function embed(
  batch: PackedBatch,
  table: FloatTensor,
  visual: VisualInputs,
  imageTokenId: number,
  target: FloatTensor,
): void {
  const h = table.dims[1]!;
  for (let row = 0; row < batch.rows; row++) {
    const id = batch.ids[row]!;
    if (id < 0 || id >= table.dims[0]!)
      throw new Error(`internal: token id ${id} outside the vocabulary of ${table.dims[0]}`);
    target.data.set(table.data.subarray(id * h, (id + 1) * h), row * h);
  }
  for (const { row, hash, token } of placements(batch, visual, imageTokenId)) {
    target.data.set(tokenOf(visual.tokens.get(hash)!, token, 0, h), row * h);
  }
}

/** Adds the tower's vectors for layer `layer` to the stream y [rows, hidden] that this layer returned. */
export function addDeepstack(
  batch: PackedBatch,
  visual: VisualInputs,
  imageTokenId: number,
  layer: number,
  y: FloatTensor,
): void {
  const h = y.dims[1]!;
  for (const { row, hash, token } of placements(batch, visual, imageTokenId))
    addRow(y.data, row * h, tokenOf(visual.tokens.get(hash)!, token, (layer + 1) * h, h), 0, h);
}

/** Adds the cotangent dy [rows, hidden] of that stream to the cotangents of the images' visual tokens. */
export function addDeepstackBackward(
  batch: PackedBatch,
  dy: FloatTensor,
  visual: VisualInputs,
  imageTokenId: number,
  layer: number,
  dTokens: ReadonlyMap<string, FloatTensor>,
): void {
  const h = dy.dims[1]!;
  for (const { row, hash, token } of placements(batch, visual, imageTokenId)) {
    const target = dTokens.get(hash);
    if (target !== undefined) addRow(tokenOf(target, token, (layer + 1) * h, h), 0, dy.data, row * h, h);
  }
}

/**
 * Adds the cotangent of the embeddings [rows, hidden] to the gradient of the table and to the cotangents of visual tokens.
 *
 * @param dTable [vocab, hidden]; null where the table is not trained
 * @param dTokens by image hash: [tokens, width]; without the images whose tower is not trained
 */
export function embedBackward(
  batch: PackedBatch,
  dEmbeddings: FloatTensor,
  visual: VisualInputs,
  imageTokenId: number,
  dTable: FloatTensor | null,
  dTokens: ReadonlyMap<string, FloatTensor>,
): void {
  const h = dEmbeddings.dims[1]!;
  const visualRows = new Set<number>();
  for (const { row, hash, token } of placements(batch, visual, imageTokenId)) {
    visualRows.add(row);
    const target = dTokens.get(hash);
    if (target !== undefined) addRow(tokenOf(target, token, 0, h), 0, dEmbeddings.data, row * h, h);
  }
  if (dTable === null) return;
  for (let row = 0; row < batch.rows; row++) {
    if (!visualRows.has(row)) addRow(dTable.data, batch.ids[row]! * h, dEmbeddings.data, row * h, h);
  }
}

// --- internal ---

function* placements(
  batch: PackedBatch,
  { imagesOfGroup, tokens }: VisualInputs,
  imageTokenId: number,
): Generator<Placement> {
  for (const [g, { prompt }] of batch.groups.entries()) {
    const hashes = imagesOfGroup[g] ?? [];
    const expected = hashes.reduce((sum, hash) => sum + tokens.get(hash)!.dims[0]!, 0);
    const pads: number[] = [];
    for (let row = prompt.start; row < prompt.start + prompt.length; row++) {
      if (batch.ids[row] === imageTokenId) pads.push(row);
    }
    if (pads.length !== expected) {
      throw new Error(
        `internal: a prompt has ${pads.length} image pads and its ${hashes.length} images make ${expected} visual tokens`,
      );
    }
    let next = 0;
    for (const hash of hashes) {
      const count = tokens.get(hash)!.dims[0]!;
      for (let token = 0; token < count; token++) yield { row: pads[next++]!, hash, token };
    }
  }
}

/** Columns [column, column + width) of a visual token. */
function tokenOf(tokens: FloatTensor, token: number, column: number, width: number): Float32Array {
  const start = token * tokens.dims[1]! + column;
  return tokens.data.subarray(start, start + width);
}

function addRow(target: Float32Array, to: number, source: Float32Array, from: number, width: number): void {
  for (let i = 0; i < width; i++) target[to + i]! += source[from + i]!;
}
