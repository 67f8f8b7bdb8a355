/**
 * Names of the files that a checkpoint has beside its weights. All are JSON, text or safetensors.
 */

/** As in transformers' Trainer, with the fields that scripts commonly read. */
export const TRAINER_STATE_FILE = 'trainer_state.json';
/** The optimizer's state: moments of every trained tensor, and its values where the weights are stored with fewer bits. */
export const OPTIMIZER_FILE = 'optimizer.safetensors';
/** The weights of a reference that follows the policy, in float32 (`--sync_ref_model`). */
export const REFERENCE_FILE = 'reference.safetensors';
/** What the loop continues from: the order of rows, averages, and what a step left for later steps. */
export const LOOP_STATE_FILE = 'loop_state.json';
/** The run's system prompt, for which the checkpoint format has no place. */
export const SYSTEM_FILE = 'system.txt';
