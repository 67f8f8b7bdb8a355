/**
 * Spans: sets of columns whose attention is measured, as data. Knows their names, not where their columns are.
 *
 * | span | columns |
 * |---|---|
 * | `system` | the system block at the start of the prompt |
 * | `image` | the visual tokens of all images and videos |
 * | `{ image: k }` | the visual tokens of one image, counted from 0 |
 * | `{ region: column }` | the part of an image inside the boxes of a dataset column; a token that a box covers partly counts partly |
 * | `text` | the prompt without system block and visual tokens, as the text-dominance ratio counts it |
 * | `question` | `text` without control tokens such as `<|im_start|>` |
 * | `prompt` | all of the prompt |
 * | `first` | the first token, on which attention rests that has nowhere else to go (arXiv 2309.17453) |
 * | `completion` | the completion up to and including the token that looks |
 * | `think`, `answer` | the parts of the completion, up to and including the token that looks |
 */
const NAMED_SPANS = [
  'system',
  'image',
  'text',
  'question',
  'prompt',
  'first',
  'completion',
  'think',
  'answer',
] as const;

export type NamedSpan = (typeof NAMED_SPANS)[number];

/** The visual tokens of one image. */
export interface ImageSpan {
  /** Counted from 0. */
  readonly image: number;
}

/** Part of an image. */
export interface RegionSpan {
  /**
   * Column of the dataset: [x1, y1, x2, y2] in pixels of the stored image, or a list of them, or the column `objects`
   * (`{ bbox, bbox_type, image_id }`).
   */
  readonly region: string;
  /** The image that the boxes are in, counted from 0; default 0. `objects` may say it of each box. */
  readonly image?: number;
}

export type Span = NamedSpan | ImageSpan | RegionSpan;

/** For messages. */
export const KNOWN_SPANS = `${NAMED_SPANS.map((name) => `'${name}'`).join(', ')}, { image: 0 }, region('bbox')`;

/** Part of an image, given by boxes in a column of the dataset. */
export function region(column: string, { image }: { readonly image?: number } = {}): RegionSpan {
  return image === undefined ? { region: column } : { region: column, image };
}

/** `image 0`, `region bbox`, ...: the key of what was measured on the span. */
export function nameOfSpan(span: Span): string {
  if (typeof span === 'string') return span;
  if (!('region' in span)) return `image ${span.image}`;
  return span.image === undefined ? `region ${span.region}` : `region ${span.region} of image ${span.image}`;
}

export function isSpan(value: unknown): value is Span {
  if (typeof value === 'string') return (NAMED_SPANS as readonly string[]).includes(value);
  if (typeof value !== 'object' || value === null) return false;
  const { image, region: column } = value as Record<string, unknown>;
  const isPlace = Number.isSafeInteger(image) && (image as number) >= 0;
  if (column === undefined) return isPlace;
  return typeof column === 'string' && column !== '' && (image === undefined || isPlace);
}

/** Whether all columns of the span are in the prompt. */
export const isInPrompt = (span: Span): boolean =>
  typeof span !== 'string' || !['completion', 'think', 'answer'].includes(span);
