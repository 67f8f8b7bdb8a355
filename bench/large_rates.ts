/**
 * What the machine reaches in the shapes of a 3B model, measured whenever the parent process asks: in a process of its own, so that
 * its memory is not that of a step.
 */
import { gemm } from '../src/graph/ops/matmul.ts';
import { input } from '../src/graph/value.ts';
import type { TextConfig } from '../src/models/architecture.ts';
import { MODEL_PRESETS } from '../src/models/qwen2_5_vl/presets.ts';
import { cpu } from '../src/runtime/cpu.ts';
import { zeros } from '../src/runtime/tensor.ts';
import { linearShapes } from './flops.ts';
import type { MachineRates } from './large.ts';
import { median, timed } from './statistics.ts';

process.on('message', (rows: number) => {
  void machineRates(rows).then((rates) => process.send!(rates));
});

// --- internal ---

/** Rates of the products of a forward and of its gradient by activations, in the shapes of the 3B model, and of streaming. */
async function machineRates(rows: number): Promise<MachineRates> {
  const sizes = { ...MODEL_PRESETS['qwen2.5-vl-3b'], headDim: 128 } as unknown as TextConfig;
  const [x, w, dy] = [input('x', ['N', 'I']), input('w', ['O', 'I']), input('dy', ['N', 'O'])];
  const forward = await cpu.compile({
    name: 'forward',
    inputs: { x, w },
    outputs: { y: gemm(x, w, { transB: true }) },
  });
  const backward = await cpu.compile({ name: 'backward', inputs: { dy, w }, outputs: { dx: gemm(dy, w) } });
  let [flop, ms] = [0, 0];
  const filled = (...dims: number[]) => {
    const tensor = zeros(...dims);
    tensor.data.fill(0.25);
    return tensor;
  };
  for (const { inputs, outputs } of linearShapes(sizes)) {
    const [a, weight, b] = [filled(rows, inputs), filled(outputs, inputs), filled(rows, outputs)];
    for (const run of [
      () => forward.run({ x: a, w: weight }, { y: b }),
      () => backward.run({ dy: b, w: weight }, { dx: a }),
    ]) {
      await run();
      const taken: number[] = [];
      for (let i = 0; i < 3; i++) taken.push((await timed(run)).ms);
      ms += median(taken);
      flop += 2 * rows * inputs * outputs;
    }
  }
  const large = filled(2 ** 17, 2048); // 1 GiB
  const row = filled(1, 2048);
  const product = await cpu.compile({ name: 'stream', inputs: { x, w }, outputs: { y: gemm(w, x, { transB: true }) } });
  const into = { y: zeros(2 ** 17, 1) };
  await product.run({ x: row, w: large }, into);
  const taken: number[] = [];
  for (let i = 0; i < 5; i++) taken.push((await timed(() => product.run({ x: row, w: large }, into))).ms);
  await Promise.all([forward.release(), backward.release(), product.release()]);
  return { sgemm: flop / ms, stream: large.data.byteLength / median(taken) };
}
