import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createChatTemplate, readChatTemplate } from '../../src/template/chat_template.ts';

const variables = { messages: [{ role: 'user', content: 'hello' }], add_generation_prompt: true };
const limits = { deadlineMs: 1500, memoryMb: 48 };

describe('where a template is found', () => {
  const folder = (files: Record<string, string>): string => {
    const dir = mkdtempSync(join(tmpdir(), 'chat-'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    return dir;
  };
  const json = (chat_template: unknown): string => JSON.stringify({ chat_template });

  test('the jinja file, then chat_template.json, then tokenizer_config.json', () => {
    const files = { 'tokenizer_config.json': json('C'), 'chat_template.json': json('B'), 'chat_template.jinja': 'A' };
    expect(readChatTemplate(folder(files)).source).toBe('A');
    const { 'chat_template.jinja': _, ...two } = files;
    expect(readChatTemplate(folder(two)).source).toBe('B');
    expect(readChatTemplate(folder({ 'tokenizer_config.json': json('C') })).source).toBe('C');
    const named = [
      { name: 'tool_use', template: 'T' },
      { name: 'default', template: 'D' },
    ];
    expect(readChatTemplate(folder({ 'tokenizer_config.json': json(named) })).source).toBe('D');
  });

  test('none at all', () => {
    expect(() => readChatTemplate(folder({ 'tokenizer_config.json': '{}' }))).toThrow(
      expect.objectContaining({ code: 'E_TEMPLATE_MISSING' }),
    );
  });
});

test('equal conversations are rendered once; others are not mixed up', async () => {
  const template = createChatTemplate('{{ messages[0].content }}{{ add_generation_prompt }}', 'test');
  const texts = await Promise.all(['a', 'b', 'a'].map((content) => template.render({ messages: [{ content }] })));
  expect(texts).toEqual(['a', 'b', 'a']);
  expect(template.render({ messages: [{ content: 'a' }] })).toBe(template.render({ messages: [{ content: 'a' }] }));
  await template.close();
});

describe('hostile templates end in an error or in nothing, and the process lives', () => {
  const harmless = [
    ['constructor', "{{ ''.constructor.constructor('return process')() }}"],
    ['__proto__', '{{ messages.__proto__.polluted }}{{ messages[0].__proto__ }}'],
    ['process', '{{ process }}{{ globalThis }}{{ require }}'],
    ['set on proto', "{% set ns = namespace() %}{% set ns.__proto__ = 'x' %}{{ ns.toString }}"],
  ] as const;
  test.each(harmless)('%s', async (_name, source) => {
    const template = createChatTemplate(source, 'test', limits);
    const text = await template.render(variables).catch((error: unknown) => {
      expect(error).toMatchObject({ code: 'E_TEMPLATE_INVALID' });
      return '';
    });
    expect(text).not.toMatch(/pid|env|native code|object process/);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    await template.close();
  });

  test.each([
    ['range(1e9)', '{% for i in range(1000000000) %}{% endfor %}', 'E_TEMPLATE_LIMIT'],
    [
      'nested loops',
      '{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}',
      'E_TEMPLATE_LIMIT',
    ],
    ['endless macro', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', 'E_TEMPLATE_INVALID'],
    [
      'doubling',
      `{% set ns = namespace(s='x') %}{% for i in range(27) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}`,
      'E_TEMPLATE_LIMIT',
    ],
    [
      'doubling without end',
      `{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}`,
      'E_TEMPLATE_',
    ],
    ['deep nesting', `${'{% if true %}'.repeat(20000)}${'{% endif %}'.repeat(20000)}`, 'E_TEMPLATE_'],
    ['syntax error', '{% for %}', 'E_TEMPLATE_INVALID'],
    ['refusal', "{{ raise_exception('roles must alternate') }}", 'E_TEMPLATE_INVALID'],
  ])('%s', async (_name, source, code) => {
    const template = createChatTemplate(source, 'chat_template.jinja', limits);
    const started = Date.now();
    await expect(template.render(variables)).rejects.toMatchObject({
      code: expect.stringContaining(code),
      where: 'chat_template.jinja',
    });
    expect(Date.now() - started).toBeLessThan(60_000); // no hang; the deadline itself is 1.5 s
    await template.close();
  });

  test('after a deadline the next conversation is rendered by a new worker', async () => {
    const source = '{% if messages[0].content == "slow" %}{% for i in range(100000000) %}{% endfor %}{% endif %}ok';
    const template = createChatTemplate(source, 'test', limits);
    const results = await Promise.allSettled([
      template.render({ messages: [{ content: 'slow' }] }),
      template.render({ messages: [{ content: 'quick' }] }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    await template.close();
  });

  test("the template's own words in an error", async () => {
    const template = createChatTemplate("{{ raise_exception('roles must alternate') }}", 'test');
    await expect(template.render(variables)).rejects.toThrow('roles must alternate');
    await template.close();
  });
});
