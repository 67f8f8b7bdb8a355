/**
 * Encodes prompts as `sightline rlhf` does, so that another trainer can compare its own prompt ids.
 * Knows rows and templates; reads no weights.
 */
import { parseRow } from '../data/row.ts';
import { readConfig } from '../models/registry.ts';
import { openTemplate, type Template } from '../template/template.ts';
import { encodePrompt } from '../train/prompts.ts';
import type { EncodeRequest } from './request.ts';

/** Returns one list of ids per row. Errors: those of rows, checkpoint and template. */
export type Encoder = (request: EncodeRequest) => Promise<readonly (readonly number[])[]>;

/** Templates stay open, because the next request usually uses the same checkpoint. */
export function createEncoder(): Encoder {
  const templates = new Map<string, Promise<Template>>();
  return async ({ model, min_pixels, max_pixels, rows }) => {
    const key = JSON.stringify([model, min_pixels, max_pixels]);
    const template = templates.get(key) ?? open(model, min_pixels, max_pixels);
    templates.set(key, template);
    template.catch(() => templates.delete(key));
    const encode = encodePrompt(await template);
    const prompts: number[][] = [];
    for (const [index, row] of rows.entries()) {
      const prompt = await encode(parseRow(row, { index, where: `row ${index}`, base: process.cwd() }));
      prompts.push([...prompt.ids]);
    }
    return prompts;
  };
}

// --- internal ---

async function open(dir: string, minPixels: number | null, maxPixels: number | null): Promise<Template> {
  return openTemplate(dir, await readConfig(dir), {
    minPixels: minPixels ?? undefined,
    maxPixels: maxPixels ?? undefined,
    imageCacheBytes: 0,
  });
}
