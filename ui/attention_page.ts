/**
 * The page of `sightline infer --attention FILE.html`: the answer token by token, and the image under the attention of the chosen
 * token or of the whole answer. Keys: arrows move over tokens, Escape shows the whole answer.
 */
import './attention_page.css';
import type { AttentionPageData } from '../src/report/attention_page.ts';
import { viridis } from '../src/util/viridis.ts';

const data = JSON.parse(document.getElementById('data')!.textContent!) as AttentionPageData;
const images = data.images.map((image) => ({ ...image, values: floatsOf(image.values) }));
const count = data.tokens.length;
let chosen: number | null = null;
let opacity = 0.6;

const main = document.querySelector('main')!;
add(main, 'h1', data.question);
add(main, 'p', data.model).className = 'faint';
const columns = add(main, 'div');
columns.className = 'columns';
const left = add(columns, 'div');
const right = add(columns, 'div');

const pictures = images.map(({ picture, rows, columns: wide }) => {
  const frame = add(left, 'div');
  frame.className = 'picture';
  const image = document.createElement('img');
  image.src = picture;
  image.alt = 'The image of the question';
  const canvas = document.createElement('canvas');
  canvas.width = wide;
  canvas.height = rows;
  frame.append(image, canvas);
  canvas.addEventListener('mousemove', (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.min(wide - 1, Math.floor(((event.clientX - box.left) / box.width) * wide));
    const row = Math.min(rows - 1, Math.floor(((event.clientY - box.top) / box.height) * rows));
    const index = pictures.findIndex((each) => each.canvas === canvas);
    const value = shownValues(index)[row * wide + column]!;
    told.textContent = `row ${row + 1}, column ${column + 1}: ${percent(value)} of the attention`;
  });
  canvas.addEventListener('mouseleave', tell);
  return { canvas };
});
const slider = add(left, 'label', 'Opacity');
const range = document.createElement('input');
Object.assign(range, { type: 'range', min: '0', max: '100', value: String(100 * opacity) });
slider.append(range);
range.addEventListener('input', () => {
  opacity = Number(range.value) / 100;
  draw();
});
const told = add(left, 'output');

const list = add(right, 'div');
list.className = 'tokens';
list.tabIndex = 0;
list.setAttribute('role', 'listbox');
list.setAttribute('aria-label', 'Tokens of the answer');
const shares = data.tokens.map((_, token) => images.reduce((sum, _image, i) => sum + total(valuesOf(i, token)), 0));
const [least, greatest] = [Math.min(...shares), Math.max(...shares)];
const spans = data.tokens.map((text, token) => {
  const span = add(list, 'span', text);
  span.className = 'token';
  span.setAttribute('role', 'option');
  span.style.setProperty('--shade', String(0.08 + (0.92 * (shares[token]! - least)) / (greatest - least || 1)));
  span.addEventListener('mouseenter', () => choose(token));
  return span;
});
list.addEventListener('mouseleave', () => choose(null));
list.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowRight') choose(Math.min(count - 1, (chosen ?? -1) + 1));
  else if (event.key === 'ArrowLeft') choose(Math.max(0, (chosen ?? count) - 1));
  else if (event.key === 'Escape') choose(null);
  else return;
  event.preventDefault();
});
add(
  right,
  'p',
  "The more of a token's attention the image gets, the stronger its shade. Arrow keys move over the tokens.",
).className = 'faint';
choose(null);

function choose(token: number | null): void {
  chosen = token;
  for (const [i, span] of spans.entries()) {
    span.classList.toggle('chosen', i === token);
    span.setAttribute('aria-selected', String(i === token));
  }
  draw();
  tell();
}

function tell(): void {
  const share = chosen === null ? shares.reduce((sum, value) => sum + value, 0) / count : shares[chosen]!;
  const who = chosen === null ? 'The whole answer' : JSON.stringify(data.tokens[chosen]);
  told.textContent = `${who}: ${percent(share)} of the attention on the image`;
}

function draw(): void {
  for (const [i, { canvas }] of pictures.entries()) {
    const values = shownValues(i);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const context = canvas.getContext('2d')!;
    const pixels = context.createImageData(canvas.width, canvas.height);
    for (const [k, value] of values.entries()) {
      pixels.data.set([...viridis((value - low) / (high - low || 1)), Math.round(255 * opacity)], 4 * k);
    }
    context.putImageData(pixels, 0, 0);
  }
}

/** Of the chosen token, or the mean over all tokens. */
function shownValues(image: number): Float32Array {
  if (chosen !== null) return valuesOf(image, chosen);
  const { rows, columns: wide, values } = images[image]!;
  const mean = new Float32Array(rows * wide);
  for (const [i, value] of values.entries()) mean[i % mean.length]! += value / count;
  return mean;
}

function valuesOf(image: number, token: number): Float32Array {
  const { rows, columns: wide, values } = images[image]!;
  return values.subarray(token * rows * wide, (token + 1) * rows * wide);
}

function total(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.001 ? 3 : 2)} %`;
}

function floatsOf(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);
}

function add(parent: Element, tag: string, text = ''): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}
