import { describe, expect, test } from 'vitest';
import { createWorkspace } from '../../src/runtime/workspace.ts';

describe('a workspace', () => {
  test('gives a name the same memory again, and other names other memory', () => {
    const workspace = createWorkspace();
    const first = workspace.get('a', 4, 3);
    expect(first.dims).toEqual([4, 3]);
    expect(workspace.get('a', 2, 3).data.buffer).toBe(first.data.buffer);
    expect(workspace.get('b', 2, 3).data.buffer).not.toBe(first.data.buffer);
    expect(workspace.bytes).toBe(4 * (12 + 6));
  });

  test('a buffer that grows leaves room, so that a little longer steps do not make it grow again', () => {
    const workspace = createWorkspace();
    workspace.get('a', 800);
    const grown = workspace.get('a', 801);
    expect(workspace.bytes).toBe(4 * 900);
    for (let size = 802; size <= 900; size++) expect(workspace.get('a', size).data.buffer).toBe(grown.data.buffer);
    expect(workspace.get('a', 901).data.length).toBe(901);
  });
});
