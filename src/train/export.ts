/**
 * Exports a model with its adapter merged, as a checkpoint that loads like the model it was made for.
 */

import { mergeUpdate } from '../adapters/merge.ts';
import { openAdapter } from '../adapters/read.ts';
import type { ExportArguments } from '../arguments/resolve.ts';
import { EMBEDDING, HEAD } from '../checkpoint/head.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import { saveCheckpoint } from '../checkpoint/save.ts';
import { readConfig } from '../models/registry.ts';
import { validateShapes, withStoredHead } from '../models/tensors.ts';
import { adapterA, adapterB } from '../nn/adapter.ts';
import { requireEqual } from './adapter.ts';
import type { RunContext } from './events.ts';

/** Errors: those of openCheckpoint, readConfig, validateShapes, openAdapter and saveCheckpoint. */
export async function runExport(
  args: ExportArguments,
  { signal, emit }: Pick<RunContext, 'signal' | 'emit'>,
): Promise<void> {
  const source = openCheckpoint(args.modelDir);
  try {
    const config = withStoredHead(await readConfig(args.modelDir), source);
    validateShapes(source, config);
    const adapter = openAdapter(args.adapters[0]!, config);
    const tied = config.text.tieWordEmbeddings;
    const read = (name: string): Float32Array => source.read(tied && name === HEAD ? EMBEDDING : name);
    for (const name of adapter.copies) requireEqual(adapter.readCopy(name), read(name), name, adapter.dir);
    const tensors = adapter.read();
    const valuesOf = (name: string): Float32Array => tensors.get(name)!.data;
    const ofHead = [EMBEDDING, HEAD].some((name) => adapter.saved.includes(name));
    const ownHead = tied && (ofHead || adapter.adapters[layerOf(HEAD)] !== undefined);
    await saveCheckpoint(args.outputDir, {
      source,
      dtype: args.torchDtype ?? undefined,
      overwrite: args.existOk,
      ownHead,
      weights(name) {
        signal.throwIfAborted();
        const layer = layerOf(name);
        const update = adapter.adapters[layer];
        if (adapter.saved.includes(name)) return valuesOf(name);
        if (update === undefined) return name === HEAD && ownHead ? read(name) : undefined;
        const weight = read(name);
        mergeUpdate(weight, { ...update, a: valuesOf(adapterA(layer)), b: valuesOf(adapterB(layer)) });
        return weight;
      },
    });
    const count = Object.keys(adapter.adapters).length;
    const text = `merged ${count} updates${adapter.saved.length === 0 ? '' : ` and ${adapter.saved.length} whole tensors`} into ${args.modelDir}: ${args.outputDir}`;
    await emit({ type: 'notice', level: 'info', text });
  } finally {
    source.close();
  }
}

// --- internal ---

const layerOf = (tensor: string): string => tensor.replace(/\.weight$/, '');
