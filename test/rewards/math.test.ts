import { describe, expect, test } from 'vitest';
import { checkMath } from '../../src/rewards/math/check.ts';
import { compareMath } from '../../src/rewards/math/compare.ts';
import { quickEqual } from '../../src/rewards/math/equal_numbers.ts';
import { answerTag, extractMath } from '../../src/rewards/math/extract.ts';
import { normalizeMath } from '../../src/rewards/math/normalize.ts';

async function verdict(reference: string, answer: string): Promise<string> {
  const gold = normalizeMath(reference);
  const given = normalizeMath(answer);
  if (gold === null) return 'reference';
  if (given === null) return 'answer';
  return checkMath(gold, given);
}

describe('normalizeMath', () => {
  test.each([
    ['$x = \\dfrac{1}{2}\\text{ cm}$', 'x = \\frac{1}{2}\\unit{cm}'],
    ['\\tfrac12', '\\frac12'],
    ['12,345', '12345'],
    ['12{,}345', '12345'],
    ['3{,}14', '3.14'],
    ['12\\,345', '12345'],
    ['12 \\text{ and } 13', '12 \\and 13'],
    ['3 or 4', '3 \\or 4'],
    ['(1, 2)', '(1, 2)'],
    ['1,234,567.5', '1234567.5'],
    ['5 cm', '5\\unit{cm}'],
    ['5cm', '5\\unit{cm}'],
    ['5 m', '5\\unit{m}'],
    ['60 miles per hour', '60\\unit{mi/h}'],
    ['12 cubic metres', '12\\unit{m^3}'],
    ['12\\pi square units', '12\\pi\\unit{of square}'],
    ['7 apples.', '7\\unit{of apple}'],
    ['5 million', '5\\cdot 10^{6}'],
    ['2 dozen eggs', '2\\cdot 12\\unit{of egg}'],
    ['5xy', '5xy'],
    ['5x', '5x'],
    ['ab + b^2', 'ab + b^2'],
    ['2 sin x', '2 \\sin x'],
    ['$\\$40$', '40'],
    ['50%', '50\\%'],
    ['50 percent', '50\\%'],
    ['30^\\circ', '30^\\circ'],
    ['90°', '90^\\circ'],
    ['\\sin 30^\\circ', '\\sin 30^\\circ'],
    ['3 + 4 = 7', '3 + 4 = 7'],
    ['Area = 12', '12'],
    ['≈ 7', '7'],
    ['2x + 3 = 7', '2x + 3 = 7'],
    ['sqrt(2)/2', '\\sqrt{2}/2'],
    ['\\left( 1, 2 \\right)', '( 1, 2 )'],
    ['−3', '-3'],
    ['x² ≤ 4', 'x^{2} \\le 4'],
    ['2π', '2\\pi'],
    ['A', 'A'],
  ])('%s -> %s', (text, plain) => expect(normalizeMath(text)).toBe(plain));

  test.each([
    '',
    'red',
    'top left',
    'I see a red circle',
    'Most circles are red.',
    '漢字',
    'red 2 blue',
    'no 2',
    'and/or',
    '?',
    'not 4',
    '2024-01-15',
    '5/3/2024',
    '5/3/24',
    '5 PM',
    '5 squared',
    '12:05',
    'x'.repeat(4001),
  ])('%s is no maths', (text) => expect(normalizeMath(text)).toBeNull());
});

describe('extractMath', () => {
  test.each([
    ['so \\boxed{\\frac{1}{2}} it is, not \\boxed{3}', '\\frac{1}{2}'],
    ['first \\boxed{2}, then \\boxed{3}', '3'],
    ['\\boxed{2} and \\boxed{3}', '2, 3'],
    ['\\boxed{2}, \\boxed{3} or $\\boxed{4}$', '2, 3 \\or 4'],
    ['\\boxed{\\boxed{7}}', '7'],
    ['either $3$ or $4$', '3 \\or 4'],
    ['it is not $4$', null],
    ['not 4', null],
    ['3 or 4', '3 \\or 4'],
    ['I see 3 or maybe 4 circles', null],
    ['more than 4 circles', null],
    ['March 5, 2024', null],
    ['in March 2024', null],
    ['2024-01-15', null],
    ['the 4th one', null],
    ['There are 4 circles', '4'],
    ['The ratio is 2:3', '2:3'],
    ['\\boxed{\\frac{a}{b}}', '\\frac{a}{b}'],
    ['we get $x=5$ and then $y = 7$.', 'y = 7'],
    ['it costs $5 and $6 in all', null],
    ['it costs $6 in all', '6'],
    ['#### 42', '42'],
    ['The answer is 4.', '4'],
    ['Answer: 12,000 dollars', '12000\\unit{dollar}'],
    ['I count 3 circles and 4 squares', null],
    ['I count 3 circles', '3'],
    ['about 1/3', '1/3'],
    ['nothing here', null],
  ])('%s -> %s', (text, found) => expect(extractMath(text, { anyNumber: true })).toBe(found));

  test('takes bare numbers only where asked', () => {
    expect(extractMath('I count 3 circles', {})).toBeNull();
    expect(extractMath('it is 5', { latexOnly: true, anyNumber: true })).toBeNull();
    expect(extractMath('it is $5$', { latexOnly: true })).toBe('5');
  });

  test('answerTag takes the first block, over lines', () => {
    expect(answerTag('<answer>\n red </answer><answer>blue</answer>')).toBe('red');
    expect(answerTag('red')).toBeNull();
  });
});

describe('checkMath', () => {
  test.each([
    ['1/2', '0.5', 'equal'],
    ['\\dfrac{1}{2}', '\\frac12', 'equal'],
    ['\\sqrt{8}', '2\\sqrt{2}', 'equal'],
    ['(x+1)^2', 'x^2+2x+1', 'equal'],
    ['(x+1)^2', 'x^2+2x-1', 'different'],
    ['|x|', 'x', 'different'],
    ['x', 'y', 'different'],
    ['2\\pi', '6.283185', 'equal'],
    ['2\\pi', '6.28', 'different'],
    ['\\frac{1}{3}', '0.333333', 'equal'],
    ['0.0000001', '0', 'different'],
    ['12,345', '12345', 'equal'],
    ['x=5', '5', 'equal'],
    ['5', 'x = 5', 'equal'],
    ['50%', '0.5', 'equal'],
    ['50', '50%', 'equal'],
    ['50%', '5', 'different'],
    ['(1, 2)', '(1,2)', 'equal'],
    ['(1, 2)', '(2,1)', 'different'],
    ['[0, 1)', '[0,1)', 'equal'],
    ['[0, 1)', '(0,1)', 'different'],
    ['\\{1, 2\\}', '\\{2,1\\}', 'equal'],
    ['1, 2', '2, 1', 'equal'],
    ['\\sin 30^\\circ', '\\frac{1}{2}', 'equal'],
    ['30^\\circ', '30', 'equal'],
    ['-\\infty', '-\\infty', 'equal'],
    ['1\\frac{1}{2}', '1.5', 'equal'],
    ['\\sum_{k=1}^{10} k', '55', 'equal'],
    ['\\sum_{k=1}^{3} k x', '6x', 'equal'],
    ['\\int_0^1 x dx', '0.5', 'reference'],
    ['\\binom{4}{2}', '6', 'equal'],
    ['7', '3x+', 'answer'],
    ['7', '1/0', 'answer'],
    ['1/0', '7', 'reference'],
    ['x^2 + 1 = 0', 'x^2 + 2 = 0', 'different'],
    ['1 1/2', '1.5', 'equal'],
    ['1 1/2', '11/2', 'different'],
    ['5 cm', '50 mm', 'equal'],
    ['7 apples', '7', 'equal'],
    ['7 circles', '7 red circles', 'equal'],
    ['7 m east', '7 m west', 'different'],
    ['5 million', '5', 'different'],
    ['5 million', '5000000', 'equal'],
    ['20^\\circ C', '20^\\circ F', 'different'],
    ['20^\\circ C', '20 degrees Celsius', 'equal'],
    ['\\pm 2', '2 and -2', 'equal'],
    ['x=1 or x=2', '1 and 2', 'equal'],
    ['x=1 and x=2', 'x=3 and x=4', 'different'],
    ['x<1 and x>2', 'x<3 and x>5', 'different'],
    ['x<1 or x>2', 'x<1 and x>2', 'different'],
    ['5 cm', '5', 'equal'],
    ['5 cm', '5 kg', 'different'],
    ['1 litre', '1000 cm^3', 'equal'],
    ['9^{9^9}', '9^{9^9}+1', 'different'],
    ['\\sqrt{10^{40}+1}', '10^{20}', 'different'],
    ['e^{\\pi\\sqrt{163}}', '262537412640768744', 'different'],
    ['\\frac{3}{', '7', 'reference'],
    ['red', '7', 'reference'],
    ['7', 'red', 'answer'],
  ])('%s against %s: %s', async (reference, answer, expected) => {
    expect(await verdict(reference, answer)).toBe(expected);
  });

  test('a symbol seen as a function in one pair is a number again in the next', async () => {
    expect(await checkMath('d(x)+1', '2')).toBe('different');
    expect(await checkMath('d + 1', '1 + d')).toBe('equal');
  });

  test('an expression that hangs costs its deadline, and the next one is answered', async () => {
    const hung = checkMath('7', '\\sum_{k=1}^{100000000} k', { deadlineMs: 300 });
    const next = checkMath('\\sqrt{8}', '2\\sqrt{2}');
    expect(await hung).toBe('timeout');
    expect(await next).toBe('equal');
  });
});

describe('hostile expressions', () => {
  test.each([
    '9^{9^{9^9}}',
    '10^{10^{100}}',
    '(10^{10})!',
    '((100!)!)!',
    '\\sin(10^{10^{10}})',
    'e^{e^{e^{e^{e}}}}',
    '1.5e999999999999999',
    '\\lfloor 10^{10000}\\pi \\rfloor',
    '\\binom{10^{30}}{10^{29}}',
    `${'\\sqrt{'.repeat(500)}2${'}'.repeat(500)}`,
    `${'('.repeat(1500)}2${')'.repeat(1500)}`,
    `${'-'.repeat(3000)}2`,
    `${'2^'.repeat(1500)}2`,
    '|'.repeat(3000),
    '\\begin{pmatrix}'.repeat(200),
    '\\{'.repeat(1000),
    '1'.repeat(3999),
  ])('%# has an end: %s', (answer) => {
    expect(['different', 'answer']).toContain(compareMath('7', answer));
    expect(['different', 'reference']).toContain(compareMath(answer, '7'));
  });
});

describe('hostile texts', () => {
  test.each(['$', '$x', '\\(', '\\[', '\\boxed{', '\\boxed{1} ', 'answer ', 'answer is', ' ', '1,', '√(', '\\text{'])(
    'a hundred thousand characters of %j are searched to their end',
    (piece) => {
      const text = piece.repeat(Math.ceil(100_000 / piece.length));
      for (const around of [text, `answer${text}`, `\\boxed{1}${text}\\boxed{2}`, `4${text}!`])
        expect([null, '2', '1', '4', 'x', '1, 2']).toContain(
          extractMath(around, { anyNumber: true })?.slice(0, 4) ?? null,
        );
    },
  );
});

describe('quick path', () => {
  test('decides numbers and equal texts, leaves the rest', () => {
    expect(quickEqual('x + 1', 'x+1')).toBe(true);
    expect(quickEqual('-\\frac{1}{4}', '-0.25')).toBe(true);
    expect(quickEqual('3', '4')).toBe(false);
    expect(quickEqual('1/0', '4')).toBeUndefined();
    expect(quickEqual('x', '4')).toBeUndefined();
  });

  test('tells large, small and near numbers apart', () => {
    expect(quickEqual('1000000', '1000001')).toBe(false);
    expect(quickEqual(`1/${'9'.repeat(60)}`, `1/${'9'.repeat(61)}`)).toBe(false);
    expect(quickEqual(`0.${'0'.repeat(80)}1`, `1/1${'0'.repeat(81)}`)).toBe(true);
    expect(quickEqual('1 1/2', '11/2')).toBeUndefined();
    expect(quickEqual('1/3', '0.333333')).toBeUndefined(); // rounding is not for here
  });
});
