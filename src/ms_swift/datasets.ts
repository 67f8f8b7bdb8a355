/**
 * Prepares datasets for ms-swift. sightline resolves relative image paths from the folder of each file, ms-swift from one
 * folder for all files: files in several folders are copied with absolute paths. `FILE#N` is copied as well, because ms-swift
 * takes N random rows, and so are formats and folders that ms-swift does not read or reads otherwise. Copies are JSONL.
 * Knows where images can stand in a row; nothing else about rows.
 */
import { createWriteStream, existsSync, mkdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { filesOf } from '../data/files/folder.ts';
import { openRowFile } from '../data/files/open.ts';
import { parseSpec as parseDatasetSpec } from '../data/specs.ts';
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
  if (root !== null && all.every(({ path, rows }) => rows === null && isReadThere(path))) {
    const paths = (list: readonly string[]): string[] => list.map((spec) => parseSpec(spec).path);
    return { dataset: paths(specs.dataset), valDataset: paths(specs.valDataset), imageRoot: root, copies: [] };
  }
  const copies: DatasetCopy[] = [];
  const copied = (kind: string) => (spec: string, i: number) => {
    const { path, rows } = parseSpec(spec);
    const name = `${kind}-${i}-${basename(path)}`;
    const to = join(folder, name.endsWith('.jsonl') ? name : `${name}.jsonl`);
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

/**
 * Writes a copy with absolute image paths; images that are bytes become data URIs.
 *
 * @param columns new names of columns, which ms-swift is given as well
 * Errors: those of `filesOf`, `openRowFile` and the rows.
 */
export async function writeCopy(
  { from, to, rows }: DatasetCopy,
  columns: Readonly<Record<string, unknown>> | null = null,
): Promise<void> {
  mkdirSync(dirname(to), { recursive: true });
  const renamed = Object.entries(columns ?? {}).flatMap(([name, to]) => (COLUMNS.has(String(to)) ? [name] : []));
  const imageColumns = new Set([...COLUMNS, ...renamed.map((name) => name.toLowerCase())]);
  async function* lines(): AsyncGenerator<string> {
    let count = 0;
    for (const path of filesOf(from)) {
      const file = await openRowFile(path);
      try {
        for await (const { value } of file.rows()) {
          if (rows !== null && count >= rows) return;
          count++;
          yield `${JSON.stringify(withAbsolutePaths(value(), dirname(path), imageColumns), bytesAsBase64)}\n`;
        }
      } finally {
        file.release();
      }
    }
  }
  await pipeline(lines, createWriteStream(to));
}

// --- internal ---

function parseSpec(spec: string): { readonly path: string; readonly rows: number | null } {
  const { path, limit } = parseDatasetSpec(spec);
  return { path: resolve(path), rows: Number.isFinite(limit) ? limit : null };
}

/** Whether ms-swift reads the same rows in it: by its ending, and CSV without guessing types. */
function isReadThere(path: string): boolean {
  return /\.(jsonl|json|parquet)$/i.test(path) && !statSync(path, { throwIfNoEntry: false })?.isDirectory();
}

/** Bytes outside of images have no form in JSON. */
function bytesAsBase64(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}

const COLUMNS = new Set(['images', 'image']);
const PLACES = new Set(['path', 'url', 'image', 'image_url']);

/** The row with absolute paths in its image columns and in the parts of its messages. */
function withAbsolutePaths(row: unknown, base: string, imageColumns: ReadonlySet<string>): unknown {
  if (!isJsonObject(row)) return row;
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      imageColumns.has(name.toLowerCase())
        ? absolutePath(value, base)
        : name === 'messages'
          ? inMessages(value, base)
          : value,
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
  if (value instanceof Uint8Array) return dataUri(value);
  if (isJsonObject(value)) {
    if (value.bytes instanceof Uint8Array) return dataUri(value.bytes);
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, PLACES.has(name) ? absolutePath(inner, base) : inner]),
    );
  }
  // Anything else is an absolute path, a URL or the image itself.
  if (typeof value !== 'string' || value.length > 4096) return value;
  const path = resolve(base, value.trim());
  return existsSync(path) ? path : value;
}

/** ms-swift takes the kind of the image from its bytes. */
const dataUri = (bytes: Uint8Array): string => `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
