/**
 * Writes TensorBoard event files: scalars under the tags of the Hugging Face integration (`train/reward`, `eval/reward`), and
 * some completions as text with their images (`completions/1`, `images/1`).
 * Message fields are those of tensorflow/core/util/event.proto and framework/summary.proto. Records have TFRecord's framing:
 * length, its masked CRC-32C, data, its masked CRC-32C, all little-endian.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs/light.js';
import type { AlphaMode } from '../data/rgb.ts';
import { thumbnailOf } from '../data/thumbnail.ts';
import type { CompletionsEvent, Listener, Metrics, TrainEvent } from '../train/events.ts';
import { AppendFile } from '../util/append_file.ts';
import { makeFolders } from '../util/make_folders.ts';
import { completionsMarkdown, groupByRow } from './completions_markdown.ts';
import { maskedCrc32c } from './crc32c.ts';

/** The fields of an Event message that are used here. */
export interface TensorBoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step?: number;
  /** Only in the first record of a file. */
  readonly fileVersion?: string;
  readonly summary?: { readonly value: readonly SummaryValue[] };
  /** Status 1 is START: readers drop what earlier files have from this step on. */
  readonly sessionLog?: { readonly status: 1 };
}

/** A scalar, an image or a text under a tag. A text is a tensor of the text plugin. */
export type SummaryValue = { readonly tag: string } & (
  | { readonly simpleValue: number }
  | { readonly image: SummaryImage }
  | {
      readonly tensor: { readonly dtype: 7; readonly tensorShape: object; readonly stringVal: readonly Uint8Array[] };
      readonly metadata: { readonly pluginData: { readonly pluginName: 'text' } };
    }
);

interface SummaryImage {
  readonly height: number;
  readonly width: number;
  /** 3 means RGB. */
  readonly colorspace: 3;
  /** Encoded as PNG, JPEG or GIF. */
  readonly encodedImageString: Uint8Array;
}

/** Number of prompts shown per log record, number of images of each, and maximum side of an image in pixels. */
export const SHOWN = { prompts: 4, images: 2, side: 256 } as const;

/** Writes `folder/runs/events.out.tfevents.*`, which is created at the `start` event. */
export function tensorboard(folder: string, now: () => number = Date.now): Listener {
  let file: AppendFile | null = null;
  let alpha: AlphaMode = 'white';
  const append = (step: number, value: readonly SummaryValue[]): void =>
    file?.append(encodeRecord(encodeEvent({ wallTime: now() / 1000, step, summary: { value } })));
  const write = (step: number, prefix: string, metrics: Metrics) => {
    const value = Object.entries(metrics).map(([name, simpleValue]) => ({ tag: `${prefix}/${name}`, simpleValue }));
    append(step, value);
  };
  /** Writes texts before images, so that an image that has been deleted meanwhile does not prevent the text. */
  const show = async ({ step, rows }: CompletionsEvent): Promise<void> => {
    const prompts = groupByRow(rows).slice(0, SHOWN.prompts);
    append(
      step,
      prompts.map((group, i) => textValue(`completions/${i + 1}`, completionsMarkdown(group))),
    );
    for (const [i, [first]] of prompts.entries()) {
      for (const [k, source] of first!.row.images.slice(0, SHOWN.images).entries()) {
        const { width, height, jpeg } = await thumbnailOf(source, SHOWN.side, alpha);
        const image: SummaryImage = { height, width, colorspace: 3, encodedImageString: jpeg };
        append(step, [{ tag: `images/${i + 1}${k === 0 ? '' : `_${k + 1}`}`, image }]);
      }
    }
  };
  return {
    async onEvent(event: TrainEvent) {
      if (event.type === 'start') {
        alpha = event.changed.image_alpha === 'drop' ? 'drop' : 'white';
        file = openEventFile(join(folder, 'runs'), now());
        file.append(encodeRecord(encodeEvent({ wallTime: now() / 1000, fileVersion: 'brain.Event:2' })));
        if (event.step > 0) {
          const start = { wallTime: now() / 1000, step: event.step + 1, sessionLog: { status: 1 } } as const;
          file.append(encodeRecord(encodeEvent(start)));
        }
      }
      if (event.type === 'log') write(event.step, 'train', { ...event.metrics, epoch: event.epoch });
      if (event.type === 'eval') write(event.step, 'eval', event.metrics);
      if (event.type === 'completions' && event.rows.length > 0) await show(event);
    },
    close: () => file?.close(),
  };
}

/** A Markdown text under a tag. */
export function textValue(tag: string, text: string): SummaryValue {
  return {
    tag,
    metadata: { pluginData: { pluginName: 'text' } },
    tensor: { dtype: 7, tensorShape: {}, stringVal: [Buffer.from(text)] },
  };
}

/** Encodes an event as protobuf. */
export function encodeEvent(event: TensorBoardEvent): Uint8Array {
  return EventProto.encode(EventProto.fromObject(event)).finish();
}

/** Adds TFRecord framing to the bytes. */
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
      oneofs: { what: { oneof: ['fileVersion', 'summary', 'sessionLog'] } },
      fields: {
        wallTime: { type: 'double', id: 1 },
        step: { type: 'int64', id: 2 },
        fileVersion: { type: 'string', id: 3 },
        summary: { type: 'Summary', id: 5 },
        sessionLog: { type: 'SessionLog', id: 7 },
      },
    },
    SessionLog: { fields: { status: { type: 'int32', id: 1 } } },
    Summary: {
      fields: { value: { rule: 'repeated', type: 'Value', id: 1 } },
      nested: {
        Value: {
          oneofs: { value: { oneof: ['simpleValue', 'image', 'tensor'] } },
          fields: {
            tag: { type: 'string', id: 1 },
            simpleValue: { type: 'float', id: 2 },
            image: { type: 'Image', id: 4 },
            tensor: { type: 'TensorProto', id: 8 },
            metadata: { type: 'SummaryMetadata', id: 9 },
          },
        },
        Image: {
          fields: {
            height: { type: 'int32', id: 1 },
            width: { type: 'int32', id: 2 },
            colorspace: { type: 'int32', id: 3 },
            encodedImageString: { type: 'bytes', id: 4 },
          },
        },
      },
    },
    SummaryMetadata: {
      fields: { pluginData: { type: 'PluginData', id: 1 } },
      nested: { PluginData: { fields: { pluginName: { type: 'string', id: 1 } } } },
    },
    // dtype is an enum, which protobuf encodes like an int32. 7 is DT_STRING.
    TensorProto: {
      fields: {
        dtype: { type: 'int32', id: 1 },
        tensorShape: { type: 'TensorShapeProto', id: 2 },
        stringVal: { rule: 'repeated', type: 'bytes', id: 8 },
      },
    },
    TensorShapeProto: { fields: {} },
  },
}).lookupType('Event');

function openEventFile(folder: string, now: number): AppendFile {
  makeFolders(folder);
  return new AppendFile(join(folder, `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${process.pid}.0`));
}
