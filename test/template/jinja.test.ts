/**
 * Templates as transformers renders them (jinja/make.py with jinja/cases.json): each gives the same text here, or is refused
 * with the name of what it uses. What transformers refuses is refused.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { createChatTemplate } from '../../src/template/chat_template.ts';
import { PYTHON_SEMANTICS } from '../../src/template/jinja/python_semantics.ts';

interface Library {
  patchInterpreter(jinja: unknown, longestRange: number, limited: (reason: string) => never): void;
  parseTemplate(jinja: unknown, source: string): { render(variables: unknown): string };
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`jinja/${name}.json`, import.meta.url), 'utf8'));
const { variables, cases }: { variables: object; cases: Record<string, string> } = read('cases');
const expected: Record<string, { text?: string; refused?: string }> = read('expected');

/** What is not rendered, and the name that its refusal gives it. */
const NOT_HERE: Readonly<Record<string, string>> = {
  'recursive loop': 'a recursive loop',
  'plus keeps space': 'the plus sign of a tag',
  raw: 'the tag raw',
  'set block with a filter': 'a block of set with a filter',
  'with block': 'the tag with',
  'numbers in other spellings': 'a number written with an exponent or underscores',
  'print a tuple of one': 'a comma before a closing parenthesis',
  'print large integers': 'a whole number beyond 2^53',
  'comparison chain': 'a chain of comparisons',
  'dict with number keys': 'a dict with a key that is not a text',
  'format method': 'the method format()',
  'batch and slice': 'the filter batch',
  groupby: 'the filter groupby',
  escape: 'the filter escape',
  'wordcount truncate': 'the filter truncate',
  'attr filter': 'the filter attr',
  'tests with arguments': 'a test with arguments',
  'tests with words': 'a test with arguments',
  'dict function': 'calls dict, which is not a function here',
  'lipsum joiner cycler': 'calls joiner, which is not a function here',
  'a generator printed twice': 'printing what map gives',
};

// In this process, where a template takes a millisecond; chat_template.test.ts goes through the one that renders for users.
const jinja: unknown = createRequire(import.meta.url)('@huggingface/jinja');
const library = new Function(`${PYTHON_SEMANTICS}; return { patchInterpreter, parseTemplate };`)() as Library;
library.patchInterpreter(jinja, 100_000, (reason) => {
  throw new Error(reason);
});
const render = (source: string): string => library.parseTemplate(jinja, source).render(structuredClone(variables));

test.each(Object.entries(cases))('%s', (name, source) => {
  const { text } = expected[name]!;
  if (text === undefined) expect(() => render(source)).toThrow();
  else if (name in NOT_HERE) expect(() => render(source)).toThrow(NOT_HERE[name]);
  else expect(render(source)).toBe(text);
});

test('every template has its text, every refusal its template', () => {
  expect(Object.keys(expected)).toEqual(Object.keys(cases));
  for (const name of Object.keys(NOT_HERE)) expect(expected[name]?.text, name).toBeDefined();
});

test('a break and a refusal through the process that renders', async () => {
  const source = '{% for m in messages %}{{ m }}{% if loop.last %}{{ none }}{% break %}{% endif %}{% endfor %}';
  const template = createChatTemplate(source, 'chat_template.jinja');
  expect(await template.render({ messages: ['a', true] })).toBe('aTrueNone');
  await template.close();
  const other = createChatTemplate('{% raw %}{{ x }}{% endraw %}', 'chat_template.jinja');
  await expect(other.render({ messages: [] })).rejects.toMatchObject({
    code: 'E_TEMPLATE_INVALID',
    message: expect.stringContaining('the tag raw is not supported here'),
    hint: 'rewrite this part of the template so that it renders the same text without this feature',
  });
  await other.close();
});
