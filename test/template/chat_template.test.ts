import { execFileSync } from 'node:child_process';
import { mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { createChatTemplate, readChatTemplate } from '../../src/template/chat_template.ts';

const variables = { messages: [{ role: 'user', content: 'hello' }], add_generation_prompt: true };
const limits = { deadlineMs: 1500, memoryMb: 48 };
/** For what must not meet its deadline on any machine: a process alone may take two seconds to start. */
const patient = { memoryMb: 48, deadlineMs: 30_000 };

/** Of this process, but for the one that lists them. */
const childrenOf = (parent: number): number[] =>
  execFileSync('ps', ['-o', 'pid=,comm=', '--ppid', `${parent}`], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.trim() !== '' && !/ ps$/.test(line) && !line.includes('defunct'))
    .map((line) => Number.parseInt(line, 10));

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

  test('a file too large for a template is not read', () => {
    const dir = folder({ 'chat_template.jinja': '' });
    truncateSync(join(dir, 'chat_template.jinja'), 3 * 2 ** 30); // sparse
    expect(() => readChatTemplate(dir)).toThrow(
      expect.objectContaining({ code: 'E_FILE_UNREADABLE', where: join(dir, 'chat_template.jinja') }),
    );
    const long = 'x'.repeat(1_000_001);
    for (const [name, text] of [
      ['chat_template.jinja', long],
      ['tokenizer_config.json', json(long)],
    ] as const) {
      expect(() => readChatTemplate(folder({ [name]: text }))).toThrow(
        expect.objectContaining({ code: 'E_TEMPLATE_LIMIT' }),
      );
    }
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
    const template = createChatTemplate(source, 'test', patient);
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
    ['a range backwards', '{% for i in range(0, -1000000000, -1) %}{% endfor %}', 'E_TEMPLATE_LIMIT'],
    [
      'a list that doubles',
      '{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}',
      'E_TEMPLATE_LIMIT',
    ],
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
  ])(
    '%s',
    async (_name, source, code) => {
      const template = createChatTemplate(source, 'chat_template.jinja', code.endsWith('INVALID') ? patient : limits);
      await expect(template.render(variables)).rejects.toMatchObject({
        code: expect.stringContaining(code),
        where: 'chat_template.jinja',
      });
      await template.close();
    },
    60_000,
  ); // no hang; the deadline itself is 1.5 s

  test('after a deadline the next conversation is rendered by a new worker', async () => {
    const loop = '{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}';
    const source = `{% if messages[0].content == "slow" %}${loop}{% endif %}ok`;
    const template = createChatTemplate(source, 'test', { ...limits, deadlineMs: 6000 });
    const results = await Promise.allSettled([
      template.render({ messages: [{ content: 'slow' }] }),
      template.render({ messages: [{ content: 'quick' }] }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    await template.close();
  });

  test('a long range() is refused before it is made, and the process goes on', async () => {
    const template = createChatTemplate('{% for i in range(messages[0].content) %}{{ i }},{% endfor %}', 'test');
    const count = (content: number) => template.render({ messages: [{ content }] });
    expect(await count(3)).toBe('0,1,2,');
    await expect(count(1e9)).rejects.toThrow(
      'the chat template asks range() for 1000000000 numbers, at most 100000 are given',
    );
    expect(await count(2)).toBe('0,1,');
    await template.close();
  });

  test('a process that has nothing else to do waits for the error', () => {
    const program = `
      const { createJiti } = require(${JSON.stringify(createRequire(import.meta.url).resolve('jiti'))});
      const file = ${JSON.stringify(fileURLToPath(new URL('../../src/template/chat_template.ts', import.meta.url)))};
      createJiti(file, { fsCache: false }).import(file).then(async ({ createChatTemplate }) => {
        const loop = '{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}';
        const ends = (source, limits) => createChatTemplate(source, 'test', limits).render({});
        await ends(loop, { deadlineMs: 500 }).catch(({ code }) => console.log(code));
        console.log(await ends('idle processes do not keep it'));
      });`;
    const options = { encoding: 'utf8', timeout: 30_000 } as const;
    expect(execFileSync(process.execPath, ['-e', program], options)).toBe(
      'E_TEMPLATE_LIMIT\nidle processes do not keep it\n',
    );
  });

  test('range() counts as Python does', async () => {
    const template = createChatTemplate(
      '{{ range(2, 9, 3) | join(",") }};{{ range(5, 0, -2) | join(",") }};{{ range(3, 1) | length }}',
      'test',
    );
    expect(await template.render(variables)).toBe('2,5,8;5,3,1;0');
    await template.close();
  });

  test('an interrupt that its process gets too does not end it, and another takes its place where it is killed', async () => {
    const template = createChatTemplate('{{ messages[0].content }}', 'test');
    const render = (content: string) => template.render({ messages: [{ content }] });
    const before = childrenOf(process.pid);
    expect(await render('a')).toBe('a');
    const [child] = childrenOf(process.pid).filter((pid) => !before.includes(pid));
    process.kill(child!, 'SIGINT');
    expect(await render('b')).toBe('b');
    expect(childrenOf(process.pid)).toContain(child);
    process.kill(child!, 'SIGKILL');
    await vi.waitFor(() => expect(childrenOf(process.pid)).not.toContain(child));
    expect(await render('c')).toBe('c');
    await template.close();
  });

  test("the template's own words in an error", async () => {
    const template = createChatTemplate("{{ raise_exception('roles must alternate') }}", 'test');
    await expect(template.render(variables)).rejects.toThrow('roles must alternate');
    await template.close();
  });

  test('escape sequences in them are quoted', async () => {
    const template = createChatTemplate('{{ raise_exception(messages[0].content) }}', 'test');
    const failing = template.render({ messages: [{ content: '\u001b[31mred\nline' }] });
    await expect(failing).rejects.toThrow('the chat template failed: "\\u001b[31mred\\nline"');
    await template.close();
  });
});
