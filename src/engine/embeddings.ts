/**
 * Embeddings of a packed batch: a table row per token, and visual tokens in place of the prompt's image pads.
 * A deepstack tower also gives vectors that are added to the stream at the rows of visual tokens, after the first layers.
 */
import type { RowMoves } from '../runtime/row_moves.ts';
import type { FloatTensor, Tensor } from '../runtime/tensor.ts';
import type { PackedBatch } from './packed.ts';
import type { WorkingMemory } from './working_memory.ts';

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
 *
 * @param table [vocab, hidden], in pieces of its rows
 * @throws where the number of image pads of a prompt is not that of its visual tokens
 */
export async function embed(
  { moves, workspace, scratch }: WorkingMemory,
  batch: PackedBatch,
  table: readonly Tensor[],
  visual: VisualInputs,
  imageTokenId: number,
  target: Tensor,
): Promise<void> {
  const h = target.dims[1]!;
  const vocab = table.reduce((sum, { dims }) => sum + dims[0]!, 0);
  const outside = batch.ids.find((id) => id < 0 || id >= vocab);
  if (outside !== undefined) throw new Error(`internal: token id ${outside} outside the vocabulary of ${vocab}`);
  const placed = placements(batch, visual, imageTokenId);
  await takeRows(moves, table, batch.ids, target);
  const tokens = columnsOf(placed, visual.tokens, 0, scratch.get('visual rows', placed.length, h));
  await moves.put(await workspace.upload('visual rows', tokens), rowsOf(placed), target);
}

/** Adds the tower's vectors for layer `layer` to the stream y [rows, hidden] that this layer returned. */
export async function addDeepstack(
  { moves, workspace, scratch }: WorkingMemory,
  batch: PackedBatch,
  visual: VisualInputs,
  imageTokenId: number,
  layer: number,
  y: Tensor,
): Promise<void> {
  const placed = placements(batch, visual, imageTokenId);
  const tokens = columnsOf(placed, visual.tokens, layer + 1, scratch.get('visual rows', placed.length, y.dims[1]!));
  await moves.add(await workspace.upload('visual rows', tokens), rowsOf(placed), y);
}

/** Adds the cotangent dy [rows, hidden] of that stream to the cotangents of the images' visual tokens. */
export async function addDeepstackBackward(
  memory: WorkingMemory,
  batch: PackedBatch,
  dy: Tensor,
  visual: VisualInputs,
  imageTokenId: number,
  layer: number,
  dTokens: ReadonlyMap<string, FloatTensor>,
): Promise<void> {
  await addToTokens(memory, placements(batch, visual, imageTokenId), dy, layer + 1, dTokens);
}

/**
 * Adds the cotangent of the embeddings [rows, hidden] to the gradient of the table and to the cotangents of visual tokens.
 *
 * @param dTable [vocab, hidden]; null where the table is not trained
 * @param dTokens by image hash: [tokens, width]; without the images whose tower is not trained
 */
export async function embedBackward(
  memory: WorkingMemory,
  batch: PackedBatch,
  dEmbeddings: Tensor,
  visual: VisualInputs,
  imageTokenId: number,
  dTable: Tensor | null,
  dTokens: ReadonlyMap<string, FloatTensor>,
): Promise<void> {
  const { moves, workspace } = memory;
  const placed = placements(batch, visual, imageTokenId);
  await addToTokens(memory, placed, dEmbeddings, 0, dTokens);
  if (dTable === null) return;
  const visualRows = new Set(placed.map(({ row }) => row));
  const ofText = Int32Array.from(batch.ids.keys()).filter((row) => !visualRows.has(row));
  const into = workspace.get('rows of text', ofText.length, dEmbeddings.dims[1]!);
  const dRows = await moves.gather(dEmbeddings, ofText, into);
  await moves.add(
    dRows,
    ofText.map((row) => batch.ids[row]!),
    dTable,
  );
}

// --- internal ---

/** Copies row ids[i] of a table, in pieces, to row i of `target`. */
async function takeRows(moves: RowMoves, pieces: readonly Tensor[], ids: Int32Array, target: Tensor): Promise<void> {
  if (pieces.length === 1) {
    await moves.gather(pieces[0]!, ids, target);
    return;
  }
  const rows = Int32Array.from(ids.keys());
  let end = 0;
  for (const piece of pieces) {
    const start = end;
    end += piece.dims[0]!;
    const places = rows.filter((row) => start <= ids[row]! && ids[row]! < end);
    const inPiece = places.map((row) => ids[row]! - start);
    await moves.copy(piece, inPiece, target, places);
  }
}

function placements(batch: PackedBatch, { imagesOfGroup, tokens }: VisualInputs, imageTokenId: number): Placement[] {
  const placed: Placement[] = [];
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
      for (let token = 0; token < count; token++) placed.push({ row: pads[next++]!, hash, token });
    }
  }
  return placed;
}

const rowsOf = (placed: readonly Placement[]): Int32Array => Int32Array.from(placed, ({ row }) => row);

/** Part `part` of the columns of placed tokens, token after token, in `into` [placed, hidden]. */
function columnsOf(
  placed: readonly Placement[],
  tokens: ReadonlyMap<string, FloatTensor>,
  part: number,
  into: FloatTensor,
): FloatTensor {
  const h = into.dims[1]!;
  for (const [i, { hash, token }] of placed.entries())
    into.data.set(partOfToken(tokens.get(hash)!, token, part, h), i * h);
  return into;
}

/** Adds the rows of placed tokens in `dy` [rows, hidden] to part `part` of their cotangents' columns. */
async function addToTokens(
  { device, moves, workspace }: WorkingMemory,
  placed: readonly Placement[],
  dy: Tensor,
  part: number,
  dTokens: ReadonlyMap<string, FloatTensor>,
): Promise<void> {
  const wanted = placed.filter(({ hash }) => dTokens.has(hash));
  if (wanted.length === 0) return;
  const h = dy.dims[1]!;
  const rows = await moves.gather(dy, rowsOf(wanted), workspace.get('d.visual rows', wanted.length, h));
  const { data } = await device.download(rows);
  for (const [i, { hash, token }] of wanted.entries()) {
    const target = partOfToken(dTokens.get(hash)!, token, part, h);
    for (let j = 0; j < h; j++) target[j]! += data[i * h + j]!;
  }
}

/** Columns [part * width, (part + 1) * width) of a visual token. */
function partOfToken(tokens: FloatTensor, token: number, part: number, width: number): Float32Array {
  const start = token * tokens.dims[1]! + part * width;
  return tokens.data.subarray(start, start + width);
}
