/**
 * Tests on a graphics processor, `npm run test:webgpu`: those of the device itself, and tests of other folders with the device
 * in place of the CPU. They need an adapter; `run.sh` finds one in software.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { CountsReporter } from '../reporters/counts.ts';

/**
 * Tests of other folders, which know nothing of devices, in two projects: those of models take SwiftShader most of an hour, and
 * the gate (.ci/run) leaves them out. Their bounds are those of the CPU.
 */
const onDevice = {
  operations: [
    'test/graph/**/*.test.ts',
    'test/optim/{adamw,gradients}.test.ts',
    'test/train/update.test.ts',
    'test/engine/{nucleus,sampling_filters}.test.ts',
  ],
  models: ['test/engine/{*.golden,sampling}.test.ts'],
};

/** SwiftShader has no kernels of float16. */
const withFloat16 = ['test/graph/ops/frozen.test.ts'];

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    projects: [
      { extends: true, test: { name: 'webgpu', include: ['test/webgpu/**/*.webgpu.ts'] } },
      ...Object.entries(onDevice).map(([name, include]) => ({
        extends: true as const,
        test: {
          name: `${name} on webgpu`,
          include,
          exclude: withFloat16,
          setupFiles: ['test/webgpu/in_place_of_cpu.ts'],
        },
      })),
    ],
    reporters: ['default', new CountsReporter()],
    pool: 'forks',
    maxWorkers: 2,
    // Only to end a test that hangs: some take minutes beside other work.
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
  },
});
