/**
 * One HTML file that shows where an answer looks. It needs no network and no server; everything a model or a user wrote stands in
 * it as data, never as markup.
 */
import { readFileSync } from 'node:fs';
import type { ImageSource } from '../data/image_source.ts';
import type { AlphaMode } from '../data/rgb.ts';
import { thumbnailOf } from '../data/thumbnail.ts';
import { messageOf, SightlineError } from '../errors.ts';
import type { AnswerAttention } from '../train/answer_attention.ts';

/** What the page's script reads (ui/attention_page.ts). */
export interface AttentionPageData {
  readonly model: string;
  readonly question: string;
  readonly tokens: readonly string[];
  readonly images: readonly {
    /** As a data URI. */
    readonly picture: string;
    readonly rows: number;
    readonly columns: number;
    /** Little-endian float32 in base64. [tokens, rows * columns] */
    readonly values: string;
  }[];
}

/** Errors: E_UI_BUILD if the page's script was not built; those of the images. */
export async function attentionPage(
  { model, question }: Pick<AttentionPageData, 'model' | 'question'>,
  sources: readonly ImageSource[],
  { tokens, images }: AnswerAttention,
  alpha: AlphaMode,
): Promise<string> {
  const shown = [];
  for (const [i, { rows, columns, values }] of images.entries()) {
    const { jpeg } = await thumbnailOf(sources[i]!, SIDE, alpha);
    shown.push({
      picture: `data:image/jpeg;base64,${Buffer.from(jpeg).toString('base64')}`,
      rows,
      columns,
      values: Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64'),
    });
  }
  const data: AttentionPageData = { model, question, tokens, images: shown };
  // In JSON, < may be written as an escape: no text can end the element.
  const json = JSON.stringify(data).replaceAll('<', '\\u003c');
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
    '<title>Where the answer looks</title>',
    `<style>${readBuilt('attention_page.css')}</style>`,
    '<main></main>',
    `<script type="application/json" id="data">${json}</script>`,
    `<script type="module">${readBuilt('attention_page.js').replaceAll('</script', '<\\/script')}</script>`,
    '</html>',
    '',
  ].join('\n');
}

// --- internal ---

/** Sides of the pictures, at most, in pixels. */
const SIDE = 1024;

/** The same folder from `src/report` and from `dist/report`. */
const FOLDER = new URL('../../dist/ui/page/', import.meta.url);

function readBuilt(name: string): string {
  try {
    return readFileSync(new URL(name, FOLDER), 'utf8');
  } catch (cause) {
    throw new SightlineError('E_UI_BUILD', `the page of attention cannot be read: ${messageOf(cause)}`, {
      hint: 'in a clone, run npm run build; otherwise install the package again',
      exitCode: 1,
      cause,
    });
  }
}
