/**
 * The magic bytes of binary formats.
 */

/** The first and the last bytes of a Parquet file. */
export const PARQUET_MAGIC = 'PAR1';

/** The first bytes of Arrow's file format. Two zeros follow, then the same bytes as in its stream format. */
export const ARROW_MAGIC = 'ARROW1';
