/**
 * Setup of tests that run on WebGPU although they name no device: what they take for the CPU is the graphics processor.
 */
import { vi } from 'vitest';

vi.mock('../../src/runtime/cpu.ts', async () => {
  const { openWebgpu } = await import('../../src/runtime/webgpu.ts');
  return { cpu: await openWebgpu() };
});
