/**
 * Learning rates of individual parameters, as factors of the run's learning rate: parts of the model with their own rate, and
 * LoRA+ (Hayou et al. 2024), in which the matrices B learn faster. The groups are those of ms-swift 4.6
 * (`MultimodalOptimizerCallback`, `create_optimizer_param_groups`). The schedule applies to all of them.
 */
import { isTable } from '../models/linear_layers.ts';
import { partOf } from '../models/names.ts';

export interface LearningRates {
  readonly learningRate: number;
  readonly vitLr: number | null;
  readonly alignerLr: number | null;
  readonly lorapLrRatio: number | null;
  readonly tunerType: 'full' | 'lora';
}

/** The ratio of a parameter's learning rate to the run's. */
export type RateFactor = (name: string, shape: readonly number[]) => number;

export function rateFactors(rates: LearningRates): RateFactor {
  const { learningRate, vitLr, alignerLr, lorapLrRatio, tunerType } = rates;
  const relative = (rate: number | null): number => (rate === null || rate === learningRate ? 1 : rate / learningRate);
  if (tunerType === 'lora' && lorapLrRatio !== null) {
    return (name, shape) => {
      if (isTable(name.replace(/\.weight$/, ''))) return relative(EMBEDDING_RATE);
      return name.endsWith('.lora_B.weight') || shape.length === 1 ? lorapLrRatio : 1;
    };
  }
  const ofParts = { llm: 1, vit: relative(vitLr), aligner: relative(alignerLr) };
  return (name) => ofParts[partOf(name)];
}

// --- internal ---

/** ms-swift's `lorap_emb_lr`. */
const EMBEDDING_RATE = 1e-6;
