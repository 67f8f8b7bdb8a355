/**
 * The pictures that a checkpoint was trained on: the key `sightline` of its config.json, which other programs preserve.
 * Knows the key, not its writers and readers.
 */
import { isJsonObject, type JsonObject } from '../util/json.ts';

/** All pictures of the training data had this size, after resizing. */
export interface TrainedOn {
  readonly width: number;
  readonly height: number;
  /** What the pictures show, in a few words. */
  readonly subject: string;
}

/** The key and its value, to be added to a config.json. */
export const trainedOnKey = (trainedOn: TrainedOn): JsonObject => ({ sightline: { trained_on: { ...trainedOn } } });

/** Reads the key; null if it is absent or not understood, because it only serves as a help. */
export function readTrainedOn(config: JsonObject): TrainedOn | null {
  const own = isJsonObject(config.sightline) ? config.sightline.trained_on : null;
  if (!isJsonObject(own)) return null;
  const { width, height, subject } = own;
  const areSizes = [width, height].every((side) => Number.isSafeInteger(side) && Number(side) > 0);
  if (!areSizes || typeof subject !== 'string' || subject.length > LONGEST_SUBJECT) return null;
  return { width: Number(width), height: Number(height), subject };
}

// --- internal ---

const LONGEST_SUBJECT = 100;
