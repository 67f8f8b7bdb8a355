/**
 * AdamW (Loshchilov & Hutter 2019) on tensors, in place, wherever they live. Knows tensors and rates, not what the parameters
 * are; schedules and clipping arrive as numbers.
 *
 * Source: torch.optim.AdamW (decoupled decay, bias correction, no amsgrad). With c = sqrt(1 - beta2^t), its update
 * lr / (1 - beta1^t) · m / (sqrt(v) / c + eps) is computed as lr c / (1 - beta1^t) · m / (sqrt(v) + eps c).
 */
import type { Graph } from '../graph/graph.ts';
import { add, div, mul, sqrt, square, sub } from '../graph/ops/elementwise.ts';
import { input } from '../graph/value.ts';
import { cpu } from '../runtime/cpu.ts';
import type { Device } from '../runtime/device.ts';
import { sizeOf } from '../runtime/tensor.ts';
import { updateHere } from './adamw_here.ts';
import { type AdamWOptions, type AdamWParameter, type AdamWStep, type AdamWTensors, ratesOf } from './adamw_rates.ts';
import { updateThere } from './adamw_there.ts';

export interface AdamW {
  /** Updates every parameter once: writes value, m and v, and sets grad to zero. All are in the device's memory. */
  update(parameters: readonly AdamWParameter[], step: AdamWStep): Promise<void>;
  release(): Promise<void>;
}

export async function createAdamW(options: AdamWOptions, device: Device = cpu): Promise<AdamW> {
  const executable = await device.compile(updateGraph(options));
  return {
    async update(parameters, step) {
      if (!Number.isInteger(step.step) || step.step < 1)
        throw new Error(`internal: AdamW step ${step.step}, expected 1, 2, ...`);
      for (const parameter of parameters) checkSizes(parameter);
      const rows = parameters.map((parameter) => ({ ...parameter, rates: ratesOf(parameter, step, options) }));
      if (device.sharesMemory) await updateHere(executable, rows, options);
      else await updateThere(executable, rows, device);
    },
    release: () => executable.release(),
  };
}

// --- internal ---

/** A single node reads each moment and the value, before the node that writes them, so outputs may overwrite inputs. */
function updateGraph({ beta1, beta2 }: AdamWOptions): Graph {
  const [value, grad, m, v] = [input('value', ['N']), input('grad', ['N']), input('m', ['N']), input('v', ['N'])];
  const [toMean, toRoot] = [input('toMean', []), input('toRoot', [])];
  const [rate, keep, epsilon] = [input('rate', []), input('keep', []), input('epsilon', [])];
  const newM = add(mul(m, beta1), mul(grad, toMean));
  const newV = add(mul(v, beta2), square(mul(grad, toRoot)));
  const newValue = sub(mul(value, keep), mul(div(newM, add(sqrt(newV), epsilon)), rate));
  return {
    name: 'adamw',
    inputs: { value, grad, m, v, toMean, toRoot, rate, keep, epsilon },
    outputs: { newM, newV, newValue },
  };
}

function checkSizes({ value, grad, m, v }: AdamWTensors): void {
  const [size, ...others] = [value, grad, m, v].map(({ dims }) => sizeOf(dims));
  if (others.every((other) => other === size)) return;
  const [ofGrad, ofM, ofV] = others;
  throw new Error(`internal: AdamW tensors differ in length: value ${size}, grad ${ofGrad}, m ${ofM}, v ${ofV}`);
}
