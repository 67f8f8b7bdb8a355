import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { crc32c, maskedCrc32c } from '../../src/report/crc32c.ts';
import { encodeEvent, encodeRecord, tensorboard } from '../../src/report/tensorboard.ts';
import type { TrainEvent } from '../../src/train/events.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { endEvent, logEvent, startEvent } from './events.ts';

const folder = temporaryFolder();

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

test('the bytes of an event are those of the reference writer', () => {
  // tensorboard 2.21, Event(wall_time=1.5, step=3, summary=Summary(value=[Value(tag='train/reward', simple_value=0.25)]))
  const bytes = encodeEvent({
    wallTime: 1.5,
    step: 3,
    summary: { value: [{ tag: 'train/reward', simpleValue: 0.25 }] },
  });
  expect(Buffer.from(bytes).toString('hex')).toBe(REFERENCE_EVENT);
  expect(Buffer.from(encodeRecord(bytes)).toString('hex')).toBe(REFERENCE_RECORD);
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

interface ReadEvent {
  wallTime: number;
  step?: number;
  fileVersion?: string;
  summary?: { value: { tag: string; simpleValue: number }[] };
}

function scalars(summary: ReadEvent['summary']): Record<string, number> {
  return Object.fromEntries((summary?.value ?? []).map(({ tag, simpleValue }) => [tag, simpleValue]));
}

/** Reads TFRecords with a description of the messages of its own, checking every checksum. */
function readRecords(bytes: Buffer): ReadEvent[] {
  const root = protobuf.parse(`syntax = "proto3";
    message Value { string tag = 1; oneof value { float simple_value = 2; } }
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

const REFERENCE_EVENT = '09000000000000f83f10032a150a130a0c747261696e2f726577617264150000803e';
const REFERENCE_RECORD =
  '220000000000000078113dfd09000000000000f83f10032a150a130a0c747261696e2f726577617264150000803ef6bd5581';
