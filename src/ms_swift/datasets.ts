/**
 * Prepares dataset files for ms-swift. sightline resolves relative image paths from the folder of each file, ms-swift from one
 * folder for all files: files in several folders are copied with absolute paths. `FILE#N` is copied as well, because ms-swift
 * takes N random rows. Knows where images can stand in a row; nothing else about rows.
 */
import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openDataFile, readLines } from '../data/lines.ts';
import { messageOf, SightlineError } from '../errors.ts';
import { isJsonObject } from '../util/json.ts';

export interface DatasetPlan {
  readonly dataset: readonly string[];
  readonly valDataset: readonly string[];
  /** ROOT_IMAGE_DIR; null if paths are absolute. */
  readonly imageRoot: string | null;
  /** Copies that must be written before the run. */
  readonly copies: readonly DatasetCopy[];
}

export interface DatasetCopy {
  readonly from: string;
  readonly to: string;
  /** Number of rows to copy; null for all. */
  readonly rows: number | null;
}

/**
 * @param folder for copies
 * @param imageRoot ROOT_IMAGE_DIR of the user's environment, which holds for all files
 */
export function planDatasets(
  specs: { readonly dataset: readonly string[]; readonly valDataset: readonly string[] },
  folder: string,
  imageRoot: string | null,
): DatasetPlan {
  const all = [...specs.dataset, ...specs.valDataset].map(parseSpec);
  const [first, ...others] = new Set(all.map(({ path }) => dirname(path)));
  const root = imageRoot ?? (others.length === 0 ? first! : null);
  if (root !== null && all.every(({ rows }) => rows === null)) {
    const paths = (list: readonly string[]): string[] => list.map((spec) => parseSpec(spec).path);
    return { dataset: paths(specs.dataset), valDataset: paths(specs.valDataset), imageRoot: root, copies: [] };
  }
  const copies: DatasetCopy[] = [];
  const copied = (kind: string) => (spec: string, i: number) => {
    const { path, rows } = parseSpec(spec);
    const to = join(folder, `${kind}-${i}-${basename(path)}`);
    copies.push({ from: path, to, rows });
    return to;
  };
  return {
    dataset: specs.dataset.map(copied('train')),
    valDataset: specs.valDataset.map(copied('val')),
    imageRoot,
    copies,
  };
}

/** Writes a copy with absolute image paths. Errors: E_DATASET_LINE and those of `readLines`. */
export async function writeCopy({ from, to, rows }: DatasetCopy): Promise<void> {
  mkdirSync(dirname(to), { recursive: true });
  const base = dirname(from);
  async function* lines(): AsyncGenerator<string> {
    const handle = await openDataFile(from);
    try {
      let count = 0;
      for await (const { bytes, number } of readLines(handle, from)) {
        if (rows !== null && count >= rows) return;
        count++;
        yield `${JSON.stringify(withAbsolutePaths(parsed(bytes, `${from}:${number}`), base))}\n`;
      }
    } finally {
      await handle.close();
    }
  }
  await pipeline(lines, createWriteStream(to));
}

// --- internal ---

function parseSpec(spec: string): { readonly path: string; readonly rows: number | null } {
  const [, path, rows] = /^(.*?)(?:#(\d+))?$/s.exec(spec)!;
  return { path: resolve(path!), rows: rows === undefined ? null : Number(rows) };
}

function parsed(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new SightlineError('E_DATASET_LINE', `the line is not JSON: ${messageOf(error)}`, {
      where,
      hint: 'correct the line',
    });
  }
}

const COLUMNS = new Set(['images', 'image']);
const PLACES = new Set(['path', 'url', 'image', 'image_url']);

/** The row with absolute paths in its image columns and in the parts of its messages. */
function withAbsolutePaths(row: unknown, base: string): unknown {
  if (!isJsonObject(row)) return row;
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      COLUMNS.has(name) ? absolutePath(value, base) : name === 'messages' ? inMessages(value, base) : value,
    ]),
  );
}

function inMessages(value: unknown, base: string): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((message: unknown) => {
    if (!isJsonObject(message) || !Array.isArray(message.content)) return message;
    const content = message.content.map((part: unknown) =>
      isJsonObject(part) && part.type !== 'text' ? absolutePath(part, base) : part,
    );
    return { ...message, content };
  });
}

function absolutePath(value: unknown, base: string): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => absolutePath(item, base));
  if (isJsonObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, PLACES.has(name) ? absolutePath(inner, base) : inner]),
    );
  }
  // Anything else is an absolute path, a URL or the image itself.
  if (typeof value !== 'string' || value.length > 4096) return value;
  const path = resolve(base, value.trim());
  return existsSync(path) ? path : value;
}
