import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { ImageSource } from '../../src/data/image_source.ts';
import { crc32c, maskedCrc32c } from '../../src/report/crc32c.ts';
import { encodeEvent, encodeRecord, type SummaryValue, tensorboard, textValue } from '../../src/report/tensorboard.ts';
import type { CompletionRow, RowOrigin, StartEvent, TrainEvent } from '../../src/train/events.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { endEvent, logEvent, rowOrigin, startEvent } from './events.ts';

const folder = temporaryFolder();

const REFERENCE_EVENT = '09000000000000f83f10032a150a130a0c747261696e2f726577617264150000803e';
const REFERENCE_RECORD =
  '220000000000000078113dfd09000000000000f83f10032a150a130a0c747261696e2f726577617264150000803ef6bd5581';

describe('crc32c', () => {
  // RFC 3720, appendix B.4
  test.each([
    ['123456789', Buffer.from('123456789'), 0xe3069283],
    ['32 zeros', Buffer.alloc(32, 0), 0x8a9136aa],
    ['32 times 0xff', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ])('%s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });
});

// Reference values: test/report/tensorboard/make.py
test.each<[string, SummaryValue, string]>([
  ['scalar', { tag: 'train/reward', simpleValue: 0.25 }, REFERENCE_EVENT],
  [
    'image',
    { tag: 'images/1', image: { height: 2, width: 3, colorspace: 3, encodedImageString: Buffer.from('jpeg') } },
    '09000000000000f83f10032a1a0a180a08696d616765732f31220c08021003180322046a706567',
  ],
  [
    'text',
    textValue('completions/1', 'a\nä'),
    '09000000000000f83f10032a270a250a0d636f6d706c6574696f6e732f31420a080712004204610ac3a44a080a060a0474657874',
  ],
])('the bytes of a %s are those of the reference writer', (_, value, reference) => {
  const bytes = encodeEvent({ wallTime: 1.5, step: 3, summary: { value: [value] } });
  expect(Buffer.from(bytes).toString('hex')).toBe(reference);
  if (reference === REFERENCE_EVENT) expect(Buffer.from(encodeRecord(bytes)).toString('hex')).toBe(REFERENCE_RECORD);
});

test('a run leaves one file, every record of it whole, under the tags of the Hugging Face integration', () => {
  let time = 1_700_000_000_000;
  const listener = tensorboard(folder, () => (time += 500));
  const events: TrainEvent[] = [
    startEvent({ outputDir: folder }),
    logEvent(1, { reward: 0.5, 'rewards/DDAPOAttentionORM/mean': -1.0625, loss: Number.NaN }),
    { type: 'eval', step: 1, maxSteps: 2, epoch: 0.5, metrics: { reward: 0.75 } },
    logEvent(2, { reward: 1 }),
    endEvent({ outputDir: folder }),
  ];
  for (const event of events) listener.onEvent(event);
  listener.close?.();

  const files = readdirSync(join(folder, 'runs'));
  expect(files).toEqual([expect.stringMatching(/^events\.out\.tfevents\.1700000000\./)]);
  const records = readRecords(readFileSync(join(folder, 'runs', files[0]!)));
  expect(records[0]).toEqual({ wallTime: 1_700_000_001, fileVersion: 'brain.Event:2' });
  expect(records.slice(1).map(({ step, summary }) => [step, scalars(summary)])).toEqual([
    [
      1,
      {
        'train/reward': 0.5,
        'train/rewards/DDAPOAttentionORM/mean': -1.0625,
        'train/loss': Number.NaN,
        'train/epoch': 0.5,
      },
    ],
    [1, { 'eval/reward': 0.75 }],
    [2, { 'train/reward': 1, 'train/epoch': 1 }],
  ]);
});

describe('completions', () => {
  const completion = (row: RowOrigin, text: string, rewards: CompletionRow['rewards'] = {}): CompletionRow => ({
    row,
    prompt: '<image>which?',
    completion: text,
    rewards,
    advantage: 0.5,
    extras: {},
  });

  /** The values that one log of completions leaves. */
  async function shown(rows: readonly CompletionRow[], changed: StartEvent['changed'] = {}) {
    const run = join(folder, `${Math.random()}`);
    const listener = tensorboard(run, () => 1_700_000_000_000);
    await listener.onEvent(startEvent({ outputDir: run, changed }));
    const done = listener.onEvent({ type: 'completions', step: 7, rows });
    const failed = await Promise.resolve(done).catch((error: unknown) => error);
    await listener.close?.();
    const [file] = readdirSync(join(run, 'runs'));
    const records = readRecords(readFileSync(join(run, 'runs', file!))).slice(1);
    expect(records.every(({ step }) => step === 7)).toBe(true);
    const values = records.flatMap(({ summary }) => summary?.value ?? []);
    return {
      texts: values.flatMap(({ tag, tensor }) => (tensor ? [[tag, tensor.stringVal[0]!.toString()]] : [])),
      images: values.flatMap(({ tag, image }) => (image ? [{ tag, ...image }] : [])),
      failed,
    };
  }

  async function picture(name: string, width: number, height: number): Promise<ImageSource> {
    const path = join(folder, name);
    await sharp({ create: { width, height, channels: 4, background: 'red' } }).toFile(path);
    return { kind: 'path', path, where: 'train.jsonl:3' };
  }

  test('are texts, exactly as they were sampled, and their images, small', async () => {
    const first = rowOrigin({ images: [await picture('large.png', 1000, 500), await picture('small.png', 20, 30)] });
    const { texts, images, failed } = await shown([
      completion(first, '~~~ <think>*a*\n</think>', { my_reward: 1, Format: null }),
      completion(first, 'b'),
      completion(rowOrigin({ source: 'train.jsonl:9' }), 'c'),
    ]);
    expect(failed).toBeUndefined();
    expect(texts).toEqual([
      [
        'completions/1',
        [
          `~~~\ntrain.jsonl:3\n${join(folder, 'large.png')}\n${join(folder, 'small.png')}\n~~~`,
          'prompt',
          '~~~\n<image>which?\n~~~',
          'advantage 0.5 | my\\_reward 1 | Format null',
          '~~~~\n~~~ <think>*a*\n</think>\n~~~~',
          'advantage 0.5',
          '~~~\nb\n~~~',
        ].join('\n\n'),
      ],
      ['completions/2', expect.stringContaining('train.jsonl:9')],
    ]);
    expect(images.map(({ tag, width, height }) => [tag, width, height])).toEqual([
      ['images/1', 256, 128],
      ['images/1_2', 20, 30],
    ]);
    for (const { encodedImageString, width, height } of images) {
      expect(await sharp(encodedImageString).metadata()).toMatchObject({ format: 'jpeg', width, height });
    }
  });

  test('are bounded: 4 prompts of 8 completions, 2 images of each, 2000 characters', async () => {
    const image = await picture('one.png', 8, 8);
    const rows = Array.from({ length: 6 }, () => rowOrigin({ images: [image, image, image] })).flatMap((row) =>
      Array.from({ length: 10 }, () => completion(row, 'x'.repeat(3000))),
    );
    const { texts, images } = await shown(rows);
    expect(texts.map(([tag]) => tag)).toEqual([1, 2, 3, 4].map((i) => `completions/${i}`));
    expect(images).toHaveLength(8);
    expect(texts[0]![1]!.match(/x{1999}…/g)).toHaveLength(8);
    expect(texts[0]![1]!.endsWith('and 2 more')).toBe(true);
  });

  test.each<[string, StartEvent['changed'], number]>([
    ['on white', {}, 255],
    ['with the colours under them', { image_alpha: 'drop' }, 0],
  ])('show transparent parts as the model sees them, %s, of every format that is read', async (_, changed, ground) => {
    const pil = new URL('../data/pil/', import.meta.url).pathname;
    const from = (name: string): ImageSource => ({ kind: 'path', path: join(pil, name), where: 'train.jsonl:3' });
    const black = join(folder, 'black.png');
    const clear = { r: 0, g: 0, b: 0, alpha: 0 };
    await sharp({ create: { width: 8, height: 8, channels: 4, background: clear } }).toFile(black);
    const row = rowOrigin({ images: [{ kind: 'path', path: black, where: 'train.jsonl:3' }, from('rgb.bmp')] });
    const { images, failed } = await shown([completion(row, 'a')], changed);
    expect(failed).toBeUndefined();
    expect(images.map(({ tag }) => tag)).toEqual(['images/1', 'images/1_2']);
    const { data } = await sharp(images[0]!.encodedImageString).raw().toBuffer({ resolveWithObject: true });
    expect(new Set(data)).toEqual(new Set([ground]));
  });

  test('keep their texts where an image has gone', async () => {
    const gone: ImageSource = { kind: 'path', path: join(folder, 'gone.png'), where: 'train.jsonl:3' };
    const { texts, images, failed } = await shown([completion(rowOrigin({ images: [gone] }), 'a')]);
    expect([texts.length, images.length]).toEqual([1, 0]);
    expect(failed).toMatchObject({ code: 'E_IMAGE_MISSING' });
  });
});

interface ReadEvent {
  wallTime: number;
  step?: number;
  fileVersion?: string;
  summary?: {
    value: {
      tag: string;
      simpleValue: number;
      image?: { width: number; height: number; colorspace: number; encodedImageString: Buffer };
      tensor?: { dtype: number; stringVal: Buffer[] };
    }[];
  };
}

function scalars(summary: ReadEvent['summary']): Record<string, number> {
  return Object.fromEntries((summary?.value ?? []).map(({ tag, simpleValue }) => [tag, simpleValue]));
}

/** Reads TFRecords with a description of the messages of its own, checking every checksum. */
function readRecords(bytes: Buffer): ReadEvent[] {
  const root = protobuf.parse(`syntax = "proto3";
    message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
    message Tensor { int32 dtype = 1; repeated bytes string_val = 8; }
    message Value { string tag = 1; oneof value { float simple_value = 2; Image image = 4; Tensor tensor = 8; } }
    message Summary { repeated Value value = 1; }
    message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; } }
  `).root;
  const Event = root.lookupType('Event');
  const events: ReadEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedCrc32c(bytes.subarray(at, at + 8)));
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
    events.push(Event.toObject(Event.decode(data), { longs: Number }) as ReadEvent);
    at += 16 + length;
  }
  return events;
}
