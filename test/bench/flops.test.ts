import { describe, expect, test } from 'vitest';
import {
  backwardFlop,
  decodeBytes,
  decodeFlop,
  forwardFlop,
  layerWeights,
  optimiserBytes,
  prefillFlop,
  recomputedFlop,
  rowsOf,
  visiblePairs,
  visionFlop,
  visionPairs,
} from '../../bench/flops.ts';
import { MODEL_PRESETS, publishedConfig } from '../../src/models/qwen2_5_vl/presets.ts';
import { parseConfig } from '../../src/models/registry.ts';

const tokens = { endOfText: 0, imEnd: 1, visionStart: 2, visionEnd: 3, imagePad: 4, videoPad: 5 };
const config = parseConfig(publishedConfig(MODEL_PRESETS.mini, tokens, 'float32'), 'mini');
const { text, vision } = config;
const step = { prompt: 126, completions: 8, tokens: 64 };

// Hidden 512, heads 8 x 64, key/value heads 2 x 64, intermediate 1280, 8 layers, vocabulary 6000.
const LAYER = 512 * 512 + 2 * 512 * 128 + 512 * 512 + 3 * 512 * 1280;
const ROWS = 126 + 8 * 63;
/** Prompt rows but the last: they predict nothing. */
const SILENT = 125;
const SECOND_HALF = 512 * 512 + 3 * 512 * 1280;
const PROMPT_PAIRS = 8001; // 126 · 127 / 2
const PAIRS = PROMPT_PAIRS + 8 * (63 * 126 + 2016); // 2016 = 63 · 64 / 2
const HEAD = 2 * (8 * 64) * 512 * 6000;

describe('the decoder of the mini model', () => {
  test('weights, rows and visible pairs', () => {
    expect(layerWeights(text)).toBe(2_621_440);
    expect(layerWeights(text)).toBe(LAYER);
    expect(rowsOf(step)).toBe(630);
    expect(visiblePairs(step)).toBe(87_633);
    expect(visiblePairs(step)).toBe(PAIRS);
  });

  test('visible pairs are those of the mask', () => {
    const small = { prompt: 5, completions: 3, tokens: 4 };
    let pairs = 0;
    for (let row = 0; row < 5; row++) for (let column = 0; column < 5; column++) if (column <= row) pairs++;
    for (let completion = 0; completion < 3; completion++) {
      for (let row = 0; row < 3; row++) pairs += 5 + row + 1;
    }
    expect(visiblePairs(small)).toBe(pairs);
  });

  test('forward and backward', () => {
    const all = 8 * (2 * ROWS * LAYER + 4 * PAIRS * 512) + HEAD;
    expect(all).toBe(31_005_622_272);
    expect(forwardFlop(text, step)).toBe(all - 2 * SILENT * SECOND_HALF);
    expect(backwardFlop(text, step)).toBe(2 * forwardFlop(text, step));
  });

  test('what backward computes again', () => {
    const down = 512 * 1280;
    const all = 8 * (2 * ROWS * (LAYER - down) + 2 * PAIRS * 512) + HEAD;
    const again = (gradientCheckpointing: boolean, recorded: boolean): number =>
      recomputedFlop(text, step, { gradientCheckpointing, recorded });
    expect(again(true, false)).toBe(all - 2 * SILENT * (SECOND_HALF - down));
    expect(again(false, false)).toBe(8 * 2 * PAIRS * 512 + HEAD);
    expect(again(true, true)).toBe(again(true, false) - HEAD);
    expect(again(false, true)).toBe(again(false, false) - HEAD);
  });

  test('rollout', () => {
    expect(prefillFlop(text, 126)).toBe(8 * (2 * 126 * LAYER + 4 * PROMPT_PAIRS * 512) - 2 * 125 * SECOND_HALF);
    expect(decodeFlop(text, step)).toBe(25_589_710_848);
  });

  test('a forward is the prefill and the decoded rows', () => {
    expect(prefillFlop(text, 126) + decodeFlop(text, step)).toBe(forwardFlop(text, step));
  });

  test('bytes', () => {
    expect(decodeBytes(text)).toBe(96_233_472);
    expect(decodeBytes(text)).toBe(4 * (8 * (LAYER + 768 + 2 * 512) + 512 + 6000 * 512));
    expect(optimiserBytes(1000)).toBe(28_000);
  });
});

describe('the vision tower of the mini model', () => {
  test('16 x 16 patches: 4 windows of 64', () => {
    const pairs = visionPairs(config, [1, 16, 16]);
    expect(pairs).toBe(2 * 256 * 256 + 2 * 4 * 64 * 64);
    const embedding = 2 * 256 * 1176 * 256;
    const linears = 4 * 2 * 256 * (4 * 256 * 256 + 3 * 256 * 512);
    const attention = 4 * 256 * (2 * 256 * 256 + 2 * 4 * 64 * 64);
    const merger = 2 * 64 * (1024 * 1024 + 1024 * 512);
    expect(visionFlop(vision, 256, pairs)).toBe(1_865_416_704);
    expect(visionFlop(vision, 256, pairs)).toBe(embedding + linears + attention + merger);
  });
});
