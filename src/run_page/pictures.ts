/**
 * The images of a completion's prompt as small copies inside the page, with the attention of the answer where it is logged.
 */

import { attentionMap } from '../attention_log/values.ts';
import { widen } from '../checkpoint/dtypes.ts';
import { parseImageSource } from '../data/image_source.ts';
import { gridPicture } from '../data/overlay.ts';
import type { AlphaMode } from '../data/rgb.ts';
import { thumbnailOf } from '../data/thumbnail.ts';
import { SightlineError } from '../errors.ts';
import { heatColours } from '../report/attention_picture.ts';
import type { Group } from '../ui/api.ts';
import { imagePath } from '../ui/group_view.ts';
import type { Run } from '../ui/run.ts';
import { type Html, html } from './html.ts';

/** At most `MOST` images; one that cannot be shown is named with the reason. */
export async function picturesOf(run: Run, group: Group, row: number, alpha: AlphaMode): Promise<Html[]> {
  const maps = await heatOf(run, group.step, row);
  const shown = [];
  for (const [k, place] of group.images.slice(0, MOST).entries()) {
    const path = await imagePath(run, row, k);
    if (path === null) {
      shown.push(html`<p class="faint">${'reason' in place ? place.reason : 'The image is not logged.'}</p>`);
      continue;
    }
    try {
      const source = parseImageSource(path, run.folder.path, `completion ${row + 1}`);
      const { jpeg, width, height } = await thumbnailOf(source, SIDE, alpha);
      const image = html`<img src="data:image/jpeg;base64,${Buffer.from(jpeg).toString('base64')}" width="${width}" height="${height}" alt="image ${k + 1} of the prompt">`;
      const heat = maps?.[k];
      shown.push(html`<div class="picture">${image}</div>`);
      if (heat !== undefined)
        shown.push(
          html`<div class="picture">${image}<img class="heat" src="data:image/png;base64,${heat}" alt="attention of the answer"></div>`,
        );
    } catch (error) {
      if (!(error instanceof SightlineError)) throw error;
      shown.push(html`<p class="faint">${error.message}</p>`);
    }
  }
  if (group.images.length > MOST) shown.push(html`<p class="faint">and ${group.images.length - MOST} more images</p>`);
  return shown;
}

// --- internal ---

/** Side of a small copy, at most, in pixels. */
const SIDE = 320;
const MOST = 4;

/** For each image, the mean over tokens and layers as a PNG in base64; null if the completion's attention is not logged. */
async function heatOf(run: Run, step: number, row: number): Promise<string[] | null> {
  const { index } = run.table.placeOf(row);
  const found = await run.attention.entry(step, index);
  const bytes = await run.attention.values(step, index);
  // Without tokens or layers, a grid of any size takes no bytes of the file, so that nothing bounds it.
  if (found === null || bytes === null || bytes.length === 0 || found.layers.length === 0) return null;
  const words = new Uint16Array(bytes.length / 2);
  new Uint8Array(words.buffer).set(bytes);
  const values = new Float32Array(words.length);
  widen('F16', words, values);
  const { tokens, grids } = found.entry;
  const imageTokens = grids.reduce((sum, [rows, columns]) => sum + rows * columns, 0);
  const head = { tokens, layers: found.layers };
  const map = attentionMap({ head, weights: values, imageTokens }, null, null);
  const pictures = [];
  let from = 0;
  for (const [rows, columns] of grids) {
    const rgba = heatColours(map.subarray(from, from + rows * columns));
    pictures.push((await gridPicture({ rows, columns, rgba })).toString('base64'));
    from += rows * columns;
  }
  return pictures;
}
