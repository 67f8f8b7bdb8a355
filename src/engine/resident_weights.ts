/**
 * Frozen weights in the memory of a device that has its own: each is copied there once, in the form in which it is held here, and
 * graphs widen it there. The device keeps float32 of what it cannot widen and of what stays on disk here, and pieces of what is too
 * large for one of its tensors.
 * Knows forms of weights, not what they are multiplied by.
 */
import type { HalfWeight } from '../checkpoint/half_words.ts';
import { blockBytes, blocksIn, QUANT_BLOCK, type QuantisedWeight } from '../checkpoint/quantised.ts';
import { dequantised } from '../graph/ops/coded.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { widened } from '../graph/ops/frozen.ts';
import { inPieces } from '../graph/ops/pieces.ts';
import type { Value } from '../graph/value.ts';
import { type Device, here } from '../runtime/device.ts';
import { bytes, type FloatTensor, floats, halves, rows, sizeOf, type Tensor, view } from '../runtime/tensor.ts';
import { createExclusive } from '../util/mutex.ts';
import { type Parameters, roleOf } from './parameters.ts';
import type { Resident } from './resident_form.ts';
import { type Piece, piecesOf } from './row_chunks.ts';

/**
 * The store with its weights kept on the device as well; the same store where the device shares this process's memory, or where
 * all weights are in float32 and none is too large, which devices keep anyway (`Device.hold`).
 */
export function residentOn(store: Parameters, device: Device): Parameters {
  if (device.sharesMemory) return store;
  const isTooLarge = (name: string): boolean =>
    Float32Array.BYTES_PER_ELEMENT * sizeOf(store.shape(name)) > device.largestTensor;
  if (store.inMemory && !store.names.some(isTooLarge)) return store;
  const known = new Map<string, Resident | null>();
  const exclusive = createExclusive(); // layers share the buffers that `value` writes
  const inFloat32 = (name: string): Resident => {
    let tensor: Promise<Tensor> | undefined;
    const load = (): Promise<Tensor> =>
      exclusive(async () => {
        await store.load?.(name);
        return device.upload(here(store.value(name)));
      });
    return {
      form: null,
      load: () => {
        tensor ??= load();
        return tensor;
      },
    };
  };
  const residentOf = (name: string): Resident | null => {
    const stored = store.stored?.(name) ?? null;
    if (stored?.kind === 'quantised') return coded(stored, device);
    if (stored?.kind === 'half' && device.kernels.float16) return inWords(stored, device);
    if (!store.inMemory && roleOf(name) !== name) return inFloat32(name);
    return isTooLarge(name) && !store.isTrained(name) ? inRows(here(store.value(name)), device) : null;
  };
  return {
    ...store,
    resident(name) {
      if (!known.has(name)) known.set(name, residentOf(name));
      return known.get(name)!;
    },
  };
}

/** Pieces of the rows of a tensor [rows, ...], each small enough for a device. */
export function rowsWithin(dims: readonly number[], device: Pick<Device, 'largestTensor'>): Piece[] {
  const rowBytes = Float32Array.BYTES_PER_ELEMENT * sizeOf(dims.slice(1));
  return piecesOf(dims[0]!, Math.max(1, Math.floor(device.largestTensor / rowBytes)));
}

// --- internal ---

/** A matrix [rows, ...] that is larger than any tensor of the device, in pieces of its rows. */
function inRows(matrix: FloatTensor, device: Device): Resident {
  const width = sizeOf(matrix.dims.slice(1)); // of a convolution's weight, as modules take it
  const pieces = rowsWithin(matrix.dims, device);
  return {
    form: {
      kind: `pieces of ${pieces.map(({ start, end }) => end - start)} rows`,
      fed: Object.fromEntries(pieces.map(({ start, end }, i) => [i, { shape: [end - start, width] }])),
      value: (fed) => inPieces(pieces.map((_, i) => fed[i]!)),
      matrix: null,
    },
    feeds: Object.fromEntries(
      pieces.map(({ start, end }, i) => [i, device.hold(view(rows(matrix, start, end), end - start, width))]),
    ),
  };
}

/**
 * Blocks are halved where a row has as many halves as the kernel expects: onnxruntime 1.30 has a product of several rows for
 * blocks of 32 that reads the codes once for 16 rows; others read them once for each row.
 */
function coded({ bits, codes, scales, dims: [out, inner] }: QuantisedWeight, device: Device): Resident {
  const cuts = Math.ceil(inner / (QUANT_BLOCK / 2)) === 2 * blocksIn(inner) ? 2 : 1;
  const block = QUANT_BLOCK / cuts;
  const blocks = cuts * blocksIn(inner);
  const [codesDims, scalesDims] = [
    [out, blocks, blockBytes(bits) / cuts],
    [out, blocks, 1],
  ];
  const ofBlocks = new Float32Array(out * blocks);
  for (let i = 0; i < ofBlocks.length; i++) ofBlocks[i] = scales[Math.floor(i / cuts)]!;
  const matrix = (fed: Readonly<Record<string, Value>>) => ({
    ...{ bits, block, inner, codes: fed.codes!, scales: fed.scales! },
  });
  return {
    form: {
      kind: `codes of ${bits} bits in blocks of ${block}`,
      fed: { codes: { shape: codesDims, dtype: 'uint8' }, scales: { shape: scalesDims } },
      value: (fed) => dequantised(matrix(fed)),
      matrix,
    },
    feeds: { codes: device.hold(bytes(codes, codesDims)), scales: device.hold(floats(ofBlocks, scalesDims)) },
  };
}

function inWords({ words, block, shift, dims }: HalfWeight, device: Device): Resident {
  if (block !== 1) throw new Error('internal: words in blocks of channels on a device that has no kernels for them');
  return {
    form: {
      kind: 'words of float16',
      fed: { words: { shape: dims, dtype: 'float16' }, factor: { shape: [] } },
      value: ({ words: fed, factor }) => mul(widened(fed!), factor!),
      matrix: ({ words: fed, factor }) => ({ pieces: [fed!], factor: factor! }),
    },
    feeds: {
      words: device.hold(halves(words, dims)),
      factor: device.hold(floats(Float32Array.of(2 ** -shift), [])),
    },
  };
}
