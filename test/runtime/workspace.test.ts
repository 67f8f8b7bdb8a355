import { describe, expect, test } from 'vitest';
import { createHostWorkspace } from '../../src/runtime/workspace.ts';

describe('a workspace', () => {
  test('gives a name the same memory again, and other names other memory', () => {
    const workspace = createHostWorkspace();
    const first = workspace.get('a', 4, 3);
    expect(first.dims).toEqual([4, 3]);
    expect(workspace.get('a', 2, 3).data.buffer).toBe(first.data.buffer);
    expect(workspace.get('b', 2, 3).data.buffer).not.toBe(first.data.buffer);
  });

  test('a buffer has room, so that a little longer steps do not make it grow', () => {
    const workspace = createHostWorkspace();
    const first = workspace.get('a', 801);
    for (let size = 802; size <= 896; size++) expect(workspace.get('a', size).data.buffer).toBe(first.data.buffer);
    const grown = workspace.get('a', 897);
    expect(grown.data.length).toBe(897);
    expect(grown.data.buffer).not.toBe(first.data.buffer);
    expect(workspace.get('a', 1024).data.buffer).toBe(grown.data.buffer);
  });

  test('nothing and one element', () => {
    const workspace = createHostWorkspace();
    expect(workspace.get('a', 0, 5).data.length).toBe(0);
    expect(workspace.get('b', 1).data.length).toBe(1);
  });
});
