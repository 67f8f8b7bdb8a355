/**
 * What binary formats begin with.
 */

/** The first bytes of a Parquet file, and the last. */
export const PARQUET_MAGIC = 'PAR1';

/** The first bytes of the file format of Arrow; two zeros follow, and then the stream that its other format consists of. */
export const ARROW_MAGIC = 'ARROW1';
