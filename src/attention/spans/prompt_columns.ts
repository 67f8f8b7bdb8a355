/**
 * Where the columns of a span are in a prompt, and how much each counts. Knows tokens and grids of visual tokens, not datasets.
 */
import { type Corners, regionCoverage } from './region.ts';
import type { ImageSpan, RegionSpan, Span } from './span.ts';

/** A prompt whose attention is measured. */
export interface SpannedPrompt {
  /** [tokens] */
  readonly ids: Int32Array;
  /** Number of tokens of the system block at its start. */
  readonly systemPrefix: number;
  /** Rows and columns of visual tokens of each image, in the order of their pads. */
  readonly grids: readonly (readonly [rows: number, columns: number])[];
  /** The boxes of a region as fractions of the image, or the reason why the row has none: a clause that is the same for all such rows. */
  readonly boxesOf: (span: RegionSpan) => { readonly image: number; readonly boxes: readonly Corners[] } | string;
}

/** What the tokens of a model mean. */
export interface TokenKinds {
  /** Ids of image and video pads. */
  readonly visual: readonly number[];
  /** Ids of control tokens; visual ones may be among them. */
  readonly control: ReadonlySet<number>;
}

/**
 * Weights of a prompt's columns in a span: [columns], 1 for a column of the span, 0 for another, between for a visual token that
 * a region covers partly. A text if the prompt has no such span: the reason, a clause.
 */
export function promptColumns(span: Span, prompt: SpannedPrompt, kinds: TokenKinds): Float32Array | string {
  const { ids, systemPrefix } = prompt;
  const isVisual = (column: number): boolean => kinds.visual.includes(ids[column]!);
  const where = (isIn: (column: number) => boolean, otherwise: string): Float32Array | string => {
    const weights = Float32Array.from(ids, (_, column) => (isIn(column) ? 1 : 0));
    return weights.includes(1) ? weights : otherwise;
  };
  if (typeof span !== 'string') {
    return 'region' in span ? ofRegion(span, prompt, kinds) : ofImage(span, prompt, kinds);
  }
  switch (span) {
    case 'system':
      return where((column) => column < systemPrefix, 'the prompt has no system block');
    case 'image':
      return where(isVisual, 'the prompt has no image');
    case 'text':
      return where((column) => column >= systemPrefix && !isVisual(column), 'the prompt has no text');
    case 'question':
      return where(
        (column) => column >= systemPrefix && !isVisual(column) && !kinds.control.has(ids[column]!),
        'the prompt has no question',
      );
    case 'prompt':
      return where(() => true, 'the prompt is empty');
    case 'first':
      return where((column) => column === 0, 'the prompt is empty');
    default:
      throw new Error(`internal: the span ${span} is not in the prompt`);
  }
}

/** Positions of the visual tokens of each image. */
export function imageColumns(
  { ids, grids }: Pick<SpannedPrompt, 'ids' | 'grids'>,
  { visual }: Pick<TokenKinds, 'visual'>,
): Int32Array[] {
  const pads = ids.map((id, column) => (visual.includes(id) ? column : -1)).filter((column) => column >= 0);
  let from = 0;
  return grids.map(([rows, columns]) => {
    const own = pads.subarray(from, from + rows * columns);
    from += rows * columns;
    return own;
  });
}

// --- internal ---

function ofImage({ image }: ImageSpan, prompt: SpannedPrompt, kinds: TokenKinds): Float32Array | string {
  const columns = imageColumns(prompt, kinds)[image];
  if (columns === undefined) return `the prompt has no image ${image}`;
  const weights = new Float32Array(prompt.ids.length);
  for (const column of columns) weights[column] = 1;
  return weights;
}

function ofRegion(span: RegionSpan, prompt: SpannedPrompt, kinds: TokenKinds): Float32Array | string {
  const found = prompt.boxesOf(span);
  if (typeof found === 'string') return found;
  const columns = imageColumns(prompt, kinds)[found.image];
  if (columns === undefined) return `the prompt has no image ${found.image}`;
  const [rows, width] = prompt.grids[found.image]!;
  const coverage = regionCoverage(found.boxes, rows, width);
  if (!coverage.some((share) => share > 0)) return 'a region lies outside of its image';
  const weights = new Float32Array(prompt.ids.length);
  for (const [i, column] of columns.entries()) weights[column] = coverage[i]!;
  return weights;
}
