/**
 * Encodes the first rows before weights are read, so that faults of arguments and rows are reported at once, and then reads
 * the weights. Knows rows and policies, not what they are used for.
 */
import type { Row } from '../data/row.ts';
import { createSampler } from '../data/sampler.ts';
import type { RowSource, TrainingData } from './data.ts';
import type { LoadingEvent, RunContext } from './events.ts';
import type { Policy, PreparedPolicy } from './policy.ts';
import { encodeOrPass, type LongRows } from './row_reader.ts';

/**
 * Encodes the first row of training and of evaluation, because a fault of the chat template, of --max_length or of an image
 * usually affects all rows. Returns null if the run will skip the training row; the run itself reports that later.
 *
 * Errors: those of `encode`.
 */
export async function tryFirstRows<Encoded>(
  { train, evaluation }: Pick<TrainingData, 'train' | 'evaluation'>,
  args: { readonly dataSeed: number; readonly datasetShuffle: boolean; readonly truncationStrategy: LongRows },
  encode: (row: Row) => Promise<Encoded>,
): Promise<Encoded | null> {
  const tryRow = async (source: RowSource, index: number): Promise<Encoded | null> => {
    const leaveOut = source.leaveOut === undefined ? undefined : () => undefined;
    return encodeOrPass(await source.row(index), { longRows: args.truncationStrategy, leaveOut }, encode);
  };
  const { next } = createSampler({ length: train.length, seed: args.dataSeed, shuffle: args.datasetShuffle });
  const first = await tryRow(train, next());
  if (evaluation !== null) await tryRow(evaluation, 0);
  return first;
}

/** Returns a function that reads a policy's weights and emits its progress. An abort stops it with the signal's reason. */
export function loaderOf({ signal, emit }: Pick<RunContext, 'signal' | 'emit'>) {
  return (policy: PreparedPolicy, part: LoadingEvent['part']): Promise<Policy> =>
    policy.load(async ({ done, total }) => {
      signal.throwIfAborted();
      await emit({ type: 'loading', part, dir: policy.options.model, done, total });
    });
}
