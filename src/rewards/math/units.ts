/**
 * Units of measure in answers: recognises them and converts between them. Does not know the numbers of answers.
 */
import Fraction from 'fraction.js';

/** The unit in the form that `unitRatio` takes (`cm^2`, `km/h`); undefined for words that are not a unit of measure. */
export function readUnit(words: string): string | undefined {
  const text = words
    .trim()
    .toLowerCase()
    .replace(/^deg(?:ree)?s? (?=c|f)/, '')
    .replace(/\bper\b/g, '/')
    .replace(/\s*\/\s*/g, '/')
    .replace(/\s*\^\s*\{?\s*(-?\d)\s*\}?/g, '^$1');
  const parts = text.split('/');
  if (parts.length > 2) return undefined;
  const read = parts.map((part) => readPower(part, words.trim()));
  return read.includes(undefined) ? undefined : read.join('/');
}

/** Turns other words (`red circles`) into a unit of their own: lower case, singular, without filler words. */
export function wordsAsUnit(words: string): string {
  const kept = words
    .toLowerCase()
    .split(/[^a-z]+/)
    .map((word) => (word.length > 3 ? word.replace(/s$/, '') : word))
    .filter((word) => word !== '' && !fillerWords.has(word));
  return kept.length === 0 ? '' : `of ${[...new Set(kept)].sort().join(' ')}`;
}

/** Whether the words of one such unit are contained in the other's: "circles" in "red circles". */
export function sameWords(a: string, b: string): boolean {
  if (!a.startsWith('of ') || !b.startsWith('of ')) return false;
  const [x, y] = [a, b].map((unit) => unit.split(' '));
  return x!.every((word) => y!.includes(word)) || y!.every((word) => x!.includes(word));
}

/** How many of the second unit make one of the first; undefined if they measure different things. */
export function unitRatio(from: string, to: string): Fraction | undefined {
  if (from === to) return new Fraction(1);
  const [a, b] = [measure(from), measure(to)];
  return a.dimension === b.dimension ? a.factor.div(b.factor) : undefined;
}

// --- internal ---

const fillerWords = new Set(['unit', 'units', 'total', 'altogether', 'in', 'all', 'of', 'the', 'there', 'here']);

/** Name, dimension, value in the base unit of the dimension, other names (lower case). */
const table: readonly (readonly [string, string, string, string])[] = [
  ['mm', 'length', '1/1000', 'millimeter millimeters millimetre millimetres'],
  ['cm', 'length', '1/100', 'centimeter centimeters centimetre centimetres'],
  ['dm', 'length', '1/10', 'decimeter decimeters decimetre decimetres'],
  ['m', 'length', '1', 'meter meters metre metres'],
  ['km', 'length', '1000', 'kilometer kilometers kilometre kilometres'],
  ['in', 'length', '254/10000', 'inch inches'],
  ['ft', 'length', '3048/10000', 'foot feet'],
  ['yd', 'length', '9144/10000', 'yard yards yds'],
  ['mi', 'length', '1609344/1000', 'mile miles'],
  ['mg', 'mass', '1/1000000', 'milligram milligrams'],
  ['g', 'mass', '1/1000', 'gram grams'],
  ['kg', 'mass', '1', 'kilogram kilograms kgs'],
  ['t', 'mass', '1000', 'tonne tonnes'],
  ['lb', 'mass', '45359237/100000000', 'lbs pound pounds'],
  ['oz', 'mass', '45359237/1600000000', 'ounce ounces'],
  ['ms', 'time', '1/1000', 'millisecond milliseconds'],
  ['s', 'time', '1', 'sec secs second seconds'],
  ['min', 'time', '60', 'mins minute minutes'],
  ['h', 'time', '3600', 'hr hrs hour hours'],
  ['day', 'time', '86400', 'days'],
  ['week', 'time', '604800', 'weeks'],
  ['year', 'years', '1', 'years yr yrs'],
  ['month', 'months', '1', 'months'],
  ['ml', 'volume', '1/1000', 'milliliter milliliters millilitre millilitres'],
  ['l', 'volume', '1', 'liter liters litre litres'],
  ['rad', 'angle', '1', 'radian radians'],
  ['dollar', 'dollars', '1', 'dollars usd'],
  ['cent', 'dollars', '1/100', 'cents'],
  ['euro', 'euros', '1', 'euros eur'],
  ['n', 'force', '1', 'newton newtons'],
  ['j', 'energy', '1', 'joule joules'],
  ['kj', 'energy', '1000', 'kilojoule kilojoules'],
  ['w', 'power', '1', 'watt watts'],
  ['kw', 'power', '1000', 'kilowatt kilowatts'],
  ['v', 'voltage', '1', 'volt volts'],
  ['k', 'temperature', '1', 'kelvin'],
  ['celsius', 'celsius', '1', 'centigrade'],
  ['fahrenheit', 'fahrenheit', '1', 'fahrenheits'],
];

const names = new Map(
  table.flatMap(([name, , , others]) => [name, ...others.split(' ')].map((word) => [word, name] as const)),
);

function readPower(text: string, original: string): string | undefined {
  const match = /^(?:(square|sq|cubic|cu)\.?\s+)?([a-z]+)(?:\^([123]))?(?:\s+(squared|cubed))?$/.exec(text);
  if (match?.[2] === 'mph') return 'mi/h';
  if (match?.[2] === 'kmh' || match?.[2] === 'kph') return 'km/h';
  const name = match ? names.get(match[2]!) : undefined;
  // A capital letter means something else (M is not metre, G not gram), except for litre and units named after people.
  if (!match || name === undefined || (/^[A-Z]/.test(original) && match[2]!.length === 1 && !'lnjwvk'.includes(name))) {
    return undefined;
  }
  const word = match[1] ?? match[4];
  const power = match[3] ?? (word === undefined ? '1' : word.startsWith('sq') ? '2' : '3');
  return power === '1' ? name : `${name}^${power}`;
}

function measure(unit: string): { dimension: string; factor: Fraction } {
  const [over, under] = unit.split('/').map((part) => {
    const [name, power] = part.split('^') as [string, string | undefined];
    const row = table.find(([known]) => known === name);
    if (!row) return { dimension: part, factor: new Fraction(1) };
    let factor = new Fraction(1);
    for (let i = 0; i < Number(power ?? 1); i++) factor = factor.mul(new Fraction(row[2]));
    // a litre is a cubic decimetre
    if (row[1] === 'volume') return { dimension: 'length^3', factor: factor.div(1000) };
    return { dimension: power === undefined ? row[1] : `${row[1]}^${power}`, factor };
  });
  if (!under) return over!;
  return { dimension: `${over!.dimension}/${under.dimension}`, factor: over!.factor.div(under.factor) };
}
