/**
 * Where a model works: a device, and buffers on both sides of it.
 */
import { cpu } from '../runtime/cpu.ts';
import type { Device } from '../runtime/device.ts';
import { createRowMoves, type RowMoves } from '../runtime/row_moves.ts';
import { createHostWorkspace, createWorkspace, type HostWorkspace, type Workspace } from '../runtime/workspace.ts';

export interface WorkingMemory {
  readonly device: Device;
  /** The device's memory. */
  readonly workspace: Workspace;
  /** What this process writes before it is fed. */
  readonly scratch: HostWorkspace;
  readonly moves: RowMoves;
}

export const createWorkingMemory = (device: Device = cpu): WorkingMemory => ({
  device,
  workspace: createWorkspace(device),
  scratch: createHostWorkspace(),
  moves: createRowMoves(device),
});
