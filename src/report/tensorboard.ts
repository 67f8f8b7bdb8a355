/**
 * TensorBoard event files: scalars under the tags of the Hugging Face integration (`train/reward`, `eval/reward`).
 * Message fields are those of tensorflow/core/util/event.proto and framework/summary.proto; the record framing is that
 * of TFRecord: length, its masked CRC-32C, data, its masked CRC-32C, little-endian.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs/light.js';
import type { Listener, Metrics, TrainEvent } from '../train/events.ts';
import { AppendFile } from '../util/append_file.ts';
import { makeFolders } from '../util/make_folders.ts';
import { maskedCrc32c } from './crc32c.ts';

/** One Event message, as far as it is used here. */
export interface TensorBoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step?: number;
  /** Only in the first record of a file. */
  readonly fileVersion?: string;
  readonly summary?: { readonly value: readonly { readonly tag: string; readonly simpleValue: number }[] };
}

/** Writes `folder/runs/events.out.tfevents.*`, made with the run's start. */
export function tensorboard(folder: string, now: () => number = Date.now): Listener {
  let file: AppendFile | null = null;
  const write = (step: number, prefix: string, metrics: Metrics) => {
    const value = Object.entries(metrics).map(([name, simpleValue]) => ({ tag: `${prefix}/${name}`, simpleValue }));
    file?.append(encodeRecord(encodeEvent({ wallTime: now() / 1000, step, summary: { value } })));
  };
  return {
    onEvent(event: TrainEvent) {
      if (event.type === 'start') {
        file = openEventFile(join(folder, 'runs'), now());
        file.append(encodeRecord(encodeEvent({ wallTime: now() / 1000, fileVersion: 'brain.Event:2' })));
      }
      if (event.type === 'log') write(event.step, 'train', { ...event.metrics, epoch: event.epoch });
      if (event.type === 'eval') write(event.step, 'eval', event.metrics);
    },
    close: () => file?.close(),
  };
}

/** The protobuf bytes of an event. */
export function encodeEvent(event: TensorBoardEvent): Uint8Array {
  return EventProto.encode(EventProto.fromObject(event)).finish();
}

/** The bytes with TFRecord framing around them. */
export function encodeRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
}

// --- internal ---

const EventProto = protobuf.Root.fromJSON({
  nested: {
    Event: {
      oneofs: { what: { oneof: ['fileVersion', 'summary'] } },
      fields: {
        wallTime: { type: 'double', id: 1 },
        step: { type: 'int64', id: 2 },
        fileVersion: { type: 'string', id: 3 },
        summary: { type: 'Summary', id: 5 },
      },
    },
    Summary: {
      fields: { value: { rule: 'repeated', type: 'Value', id: 1 } },
      nested: {
        Value: {
          oneofs: { value: { oneof: ['simpleValue'] } },
          fields: {
            tag: { type: 'string', id: 1 },
            simpleValue: { type: 'float', id: 2 },
          },
        },
      },
    },
  },
}).lookupType('Event');

function openEventFile(folder: string, now: number): AppendFile {
  makeFolders(folder);
  return new AppendFile(join(folder, `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${process.pid}.0`));
}
