/**
 * Names of files in the folder of a run.
 */

/** Warnings of the run, one a line: {step, text}. */
export const NOTICES_FILE = 'notices.jsonl';
