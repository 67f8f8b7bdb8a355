/**
 * Opens a dataset file in the format that its first bytes show; only CSV is recognised by its name.
 * Libraries are loaded only for the files that need them, because most runs read JSONL.
 */
import { isLfsPointer, LFS_POINTER_BYTES, refuseLfsPointer } from '../../checkpoint/lfs_pointer.ts';
import { SightlineError } from '../../errors.ts';
import { beginsStream } from './arrow_messages.ts';
import { openJsonArray } from './json_array.ts';
import { openJsonl } from './jsonl.ts';
import { bomBytes, isBlank } from './lines.ts';
import { ARROW_MAGIC, PARQUET_MAGIC } from './magic.ts';
import { openRandomAccess, type RandomAccess } from './random_access.ts';
import type { RowFile } from './row_file.ts';

/**
 * Opens a file of rows.
 * Errors: E_DATASET_MISSING, E_DATASET_UNREADABLE, E_LFS_POINTER, E_DATASET_FORMAT, and those of the format.
 */
export async function openRowFile(path: string): Promise<RowFile> {
  const file = openRandomAccess(path);
  try {
    return await openFormat(file);
  } finally {
    file.release();
  }
}

// --- internal ---

/** Extensions of the formats that are recognised by their first bytes. A file with such a name but other bytes is damaged, not JSONL. */
const BINARY = /\.(parquet|arrow|feather)$/i;
const UNREAD = /\.(xlsx?|zip|gz|zst|bz2|xz|tar|tgz|db|sqlite|pkl|pickle|h5|npz?)$/i;

async function openFormat(file: RandomAccess): Promise<RowFile> {
  const { path } = file;
  const start = await file.read(0, LFS_POINTER_BYTES);
  if (isLfsPointer(start)) refuseLfsPointer(start, path);
  const begins = Buffer.from(start.subarray(0, 8)).toString('latin1');
  if (begins.startsWith(PARQUET_MAGIC)) return (await import('./parquet.ts')).openParquet(file);
  if (begins.startsWith(ARROW_MAGIC) || beginsStream(start)) {
    return (await import('./arrow.ts')).openArrow(file);
  }
  if (UNREAD.test(path)) {
    throw new SightlineError('E_DATASET_FORMAT', `datasets of this format are not read: ${path}`, {
      hint: 'write it as JSONL, JSON, CSV, Parquet or Arrow; unpack an archive first',
    });
  }
  const [, ending] = BINARY.exec(path) ?? [];
  if (ending !== undefined) {
    throw new SightlineError(
      'E_DATASET_FORMAT',
      `the file is not ${ending}: it begins with ${JSON.stringify(begins)}`,
      {
        where: path,
        hint: 'the file may be damaged: fetch it again; if it is of another format, give it the ending of that',
      },
    );
  }
  if (/\.csv$/i.test(path)) return (await import('./csv.ts')).openCsv(file, ',');
  if (/\.tsv$/i.test(path)) return (await import('./csv.ts')).openCsv(file, '\t');
  const first = start.subarray(bomBytes(start)).find((byte) => !isBlank(byte));
  return first === OPENING_BRACKET ? openJsonArray(file) : openJsonl(file);
}

const OPENING_BRACKET = 0x5b;
