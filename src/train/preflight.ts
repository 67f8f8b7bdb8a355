/**
 * What a run does before its weights are read, so that faults of arguments and rows are told at once, and how it reads them.
 * Knows rows and policies; not what is done with either.
 */
import type { Row } from '../data/row.ts';
import { createSampler } from '../data/sampler.ts';
import type { RowSource, TrainingData } from './data.ts';
import type { LoadingEvent, RunContext } from './events.ts';
import type { Policy, PreparedPolicy } from './policy.ts';
import { encodeOrPass, type LongRows } from './row_reader.ts';

/**
 * Encodes the rows that training and evaluation meet first: a fault of the chat template, of --max_length or of an image is
 * one of all rows, more often than not. Null for a training row that the run will pass over; it takes note of it when it
 * comes to it.
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

/** Reads a policy's weights, and says how far that is; an abort ends it. */
export function loaderOf({ signal, emit }: Pick<RunContext, 'signal' | 'emit'>) {
  return (policy: PreparedPolicy, part: LoadingEvent['part']): Promise<Policy> =>
    policy.load(async ({ done, total }) => {
      signal.throwIfAborted();
      await emit({ type: 'loading', part, dir: policy.options.model, done, total });
    });
}
