import { describe, expect, test } from 'vitest';
import { AttnImpl, switchAttention, unwrapModel, withEagerAttention } from '../../src/attention/implementation.ts';
import { SightlineError } from '../../src/errors.ts';

const config = () => ({
  _attn_implementation: 'sdpa',
  llm_attn_implementation: undefined,
  hidden_size: 8,
  text_config: { _attn_implementation: 'flash_attention_2', attn_implementation: 'flash_attention_2' },
});

describe('switchAttention', () => {
  test('the keys are those of the original', () => {
    expect(AttnImpl.attn_impl_keys).toEqual(['_attn_implementation', 'attn_implementation', 'llm_attn_implementation']);
  });

  test('sets eager on every key the objects have, and only there', () => {
    const c = config();
    const restore = switchAttention(c);
    expect(c).toEqual({
      _attn_implementation: 'eager',
      llm_attn_implementation: 'eager',
      hidden_size: 8,
      text_config: { _attn_implementation: 'eager', attn_implementation: 'eager' },
    });
    expect('attn_implementation' in c).toBe(false);
    restore();
    expect(c).toStrictEqual(config());
    expect('llm_attn_implementation' in c).toBe(true);
  });

  test('restoring twice does not undo a later change', () => {
    const c = config();
    const restore = switchAttention(c);
    restore();
    c._attn_implementation = 'flash_attention_2';
    restore();
    expect(c._attn_implementation).toBe('flash_attention_2');
  });

  test('a text_config that is missing, null or the config itself', () => {
    const alone = { attn_implementation: 'sdpa' };
    switchAttention(alone)();
    expect(alone).toStrictEqual({ attn_implementation: 'sdpa' });
    const none = { attn_implementation: 'sdpa', text_config: null };
    switchAttention(none)();
    expect(none).toStrictEqual({ attn_implementation: 'sdpa', text_config: null });
    const self: { attn_implementation: string; text_config?: object } = { attn_implementation: 'sdpa' };
    self.text_config = self;
    switchAttention(self as Parameters<typeof switchAttention>[0])();
    expect(self.attn_implementation).toBe('sdpa');
  });

  test('an outer setter that writes through to text_config (as in transformers)', () => {
    const text = { _attn_implementation: 'flash_attention_2' };
    let own = 'sdpa';
    const c = {
      text_config: text,
      get _attn_implementation() {
        return own;
      },
      set _attn_implementation(value: string) {
        own = value;
        text._attn_implementation = value;
      },
    };
    const restore = switchAttention(c);
    expect([own, text._attn_implementation]).toEqual(['eager', 'eager']);
    restore();
    expect([own, text._attn_implementation]).toEqual(['sdpa', 'flash_attention_2']);
  });

  test('a key that cannot be written leaves nothing switched', () => {
    const c = { _attn_implementation: 'sdpa', text_config: Object.freeze({ _attn_implementation: 'sdpa' }) };
    expect(() => switchAttention(c)).toThrow(TypeError);
    expect(c._attn_implementation).toBe('sdpa');
  });
});

describe('withEagerAttention', () => {
  test('eager inside the block only', async () => {
    const model = { config: config() };
    const seen = await withEagerAttention(model, async () => {
      await Promise.resolve();
      return model.config.text_config._attn_implementation;
    });
    expect(seen).toBe('eager');
    expect(model.config).toStrictEqual(config());
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('forward failed');
      },
    ],
    ['rejects', () => Promise.reject(new Error('forward failed'))],
  ])('restores when the block %s', async (_, block) => {
    const model = { config: config() };
    await expect(withEagerAttention(model, block)).rejects.toThrow('forward failed');
    expect(model.config).toStrictEqual(config());
  });

  test('overlapping blocks: the last one out restores what was there first', async () => {
    const model = { config: config() };
    let end: () => void = () => undefined;
    const long = withEagerAttention(
      model,
      () =>
        new Promise<void>((resolve) => {
          end = resolve;
        }),
    );
    await expect(
      withEagerAttention(model, () => {
        throw new Error('short');
      }),
    ).rejects.toThrow('short');
    expect(model.config._attn_implementation).toBe('eager');
    end();
    await long;
    expect(model.config).toStrictEqual(config());
  });
});

describe('unwrapModel', () => {
  const model = { config: config(), forward: (): null => null };

  test.each([
    ['bare', model],
    ['data parallel', { module: model }],
    ['PEFT', { base_model: { model }, config: {}, forward: (): null => null }],
    ['unwrap_model of the object', { unwrap_model: () => model }],
    ['nested', { module: { base_model: { model: { module: { unwrap_model: () => model } } } } }],
  ])('%s', (_, wrapped) => expect(unwrapModel(wrapped)).toBe(model));

  test('an accelerator first', () => {
    const outer = { secret: { module: model } };
    const accelerator = { unwrap_model: (wrapped: unknown) => (wrapped === outer ? outer.secret : wrapped) };
    expect(unwrapModel(outer, accelerator)).toBe(model);
  });

  test("a transformers model's own base_model is no wrapper", () => {
    const headless = { config: {}, forward: (): null => null, model: { config: {}, forward: (): null => null } };
    const full = { config: {}, forward: (): null => null, base_model: headless, model: headless };
    expect(unwrapModel(full)).toBe(full);
  });

  test('cycles and models without config or forward are refused', () => {
    const a: { module?: unknown } = {};
    a.module = { module: a };
    expect(() => unwrapModel(a)).toThrow(/cycle/);
    for (const bad of [null, 3, {}, { config: {} }, { module: { forward: (): null => null } }]) {
      expect(() => unwrapModel(bad)).toThrow(SightlineError);
    }
  });
});
