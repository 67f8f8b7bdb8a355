/**
 * A conversation with a checkpoint, question by question, with images and streamed answers.
 * Knows the template and the sampler, not the terminal.
 */
import { join, resolve } from 'node:path';
import type { InferArguments } from '../arguments/resolve.ts';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { readTrainedOn, type TrainedOn } from '../checkpoint/trained_on.ts';
import type { ImageSource } from '../data/image_source.ts';
import { type ContentPart, type Message, splitImageTags } from '../data/messages.ts';
import { createGenerator } from '../engine/generation.ts';
import { SightlineError } from '../errors.ts';
import { chooseDevice } from '../runtime/choose.ts';
import { stopTest } from '../template/stop_words.ts';
import type { EncodedPrompt } from '../template/template.ts';
import { createRandom } from '../util/random.ts';
import { type AnswerAttention, answerAttention } from './answer_attention.ts';
import { memoryLimit } from './device.ts';
import type { RunContext } from './events.ts';
import { type PreparedPolicy, policyOptions, preparePolicy } from './policy.ts';
import { loaderOf } from './preflight.ts';
import { checkInferMemory } from './run_memory.ts';
import { checkCompletionLength, stopsAndBans } from './sampling.ts';

export interface Chat {
  /** Sentences about the checkpoint. */
  readonly notes?: readonly string[];
  /**
   * Checks an image (a path) before it is used. Returns a note if its size differs from all images of the checkpoint's training.
   * Errors: those of the image.
   */
  look(image: string): Promise<string | null>;
  /**
   * Adds a question with its images (paths) to the conversation and answers it. `onText` gets the answer piece by piece.
   * Images replace the question's `<image>` tags, or come before its text if it has none.
   * If the question cannot be encoded, it throws and leaves the conversation unchanged.
   */
  ask(question: string, images: readonly string[], onText: (piece: string) => void): Promise<string>;
  /** The attention of the last answer on all images of the conversation; null before the first answer. */
  attention(): Promise<AnswerAttention | null>;
  /** Forgets the conversation. */
  clear(): void;
  close(): Promise<void>;
}

export interface ChatContext extends Pick<RunContext, 'signal' | 'emit'> {
  /** Gets a notice when the first image is composited on white. */
  readonly tell?: (text: string) => void;
}

/** Errors: those of the checkpoint, and those of the first question's images, which are checked before weights are read. */
export async function openChat(args: InferArguments, context: ChatContext): Promise<Chat> {
  const { signal } = context;
  const { device, note } = await chooseDevice(args.device, { memory: memoryLimit(args.deviceMemory) });
  if (note !== null) context.tell?.(note);
  const prepared = await preparePolicy({ ...policyOptions(args, false, context.tell), device });
  const policy = await tryQuestion(args, prepared)
    .then(async (promptTokens) => {
      await checkInferMemory(args, { policy: prepared, promptTokens }, context);
      return await loaderOf(context)(prepared, 'model');
    })
    .catch(async (error: unknown) => {
      await prepared.close();
      throw error;
    });
  const { template, model } = policy;
  const generator = createGenerator(model);
  const random = createRandom(args.seed);
  let messages: readonly Message[] = [];
  let images: readonly ImageSource[] = [];
  let turn = 0;
  let last: { readonly prompt: EncodedPrompt; readonly ids: Int32Array } | null = null;
  const trainedOn = readTrainedOn(readJsonFile(join(args.modelDir, 'config.json')));

  return {
    notes: policy.summary.notes ?? [],
    async look(path) {
      const image: Message = { role: 'user', content: [{ type: 'image' }] };
      const { images: looked } = await template.encode([image], [sourceOf(path)]).catch(withOwnHint);
      const [, rows, columns] = looked[0]!.gridThw;
      const { patchSize } = policy.modelConfig.vision;
      return trainedOn && unlike(trainedOn, { path, width: columns * patchSize, height: rows * patchSize });
    },
    async ask(question, paths, onText) {
      const added = paths.map(sourceOf);
      const asked: Message[] = [...messages, { role: 'user', content: contentOf(question, paths.length) }];
      const shown = [...images, ...added];
      const prompt = await template.encode(asked, shown, { where: 'the conversation' }).catch(withOwnHint);
      const decoder = template.streamDecoder({ skipSpecialTokens: true });
      let answer = '';
      const show = (piece: string): void => {
        answer += piece;
        if (piece !== '') onText(piece);
      };
      const { groups } = await generator.generate([prompt], {
        count: 1,
        maxNewTokens: args.maxNewTokens,
        temperature: args.temperature,
        topP: args.topP,
        topK: args.topK,
        minP: args.minP,
        repetitionPenalty: args.repetitionPenalty,
        endsAfter: stopTest(args.stopWords, template),
        ...stopsAndBans(policy, args.badWords),
        random: random.fork(`turn ${turn}`),
        signal,
        onTokens: ([token]) => show(decoder.push(token!.id)),
      });
      show(decoder.end());
      last = { prompt, ids: groups[0]!.completions[0]!.ids };
      messages = [...asked, { role: 'assistant', content: answer }];
      images = shown;
      turn++;
      return answer;
    },
    async attention() {
      return last && answerAttention(policy, last.prompt, last.ids);
    },
    clear() {
      messages = [];
      images = [];
      last = null;
    },
    async close() {
      await generator.release();
      await policy.close();
    },
  };
}

/** An image of a conversation. */
export const sourceOf = (path: string): ImageSource => ({
  kind: 'path',
  path: resolve(path),
  where: '--image, /image',
});

// --- internal ---

/** A note if the resized image differs in size from all images of the training; null otherwise. */
function unlike(trainedOn: TrainedOn, image: { path: string; width: number; height: number }): string | null {
  const { width, height, subject } = trainedOn;
  if (image.width === width && image.height === height) return null;
  return `${image.path} is read as ${image.width} x ${image.height} pixels, but this checkpoint was trained only on pictures of ${width} x ${height} pixels (${subject}); do not expect a useful answer`;
}

/** Encodes the first question if it is known already. Returns its number of tokens. Errors: those of `ask`. */
async function tryQuestion(args: InferArguments, policy: PreparedPolicy): Promise<number> {
  checkCompletionLength('max_new_tokens', args.maxNewTokens, policy);
  if (args.prompt === null && args.image.length === 0) return 0;
  const asked: Message = { role: 'user', content: contentOf(args.prompt ?? '', args.image.length) };
  const where = 'the conversation';
  const { ids } = await policy.template.encode([asked], args.image.map(sourceOf), { where }).catch(withOwnHint);
  return ids.length;
}

/** Replaces the hint of a missing image: a conversation's relative paths start from the working directory, not from a dataset. */
function withOwnHint(error: unknown): never {
  if (!(error instanceof SightlineError) || error.code !== 'E_IMAGE_MISSING') throw error;
  const hint = 'check the path; relative paths start from the working directory';
  throw new SightlineError(error.code, error.message, { where: error.where, hint, cause: error.cause });
}

function contentOf(question: string, images: number): string | ContentPart[] {
  const tagged = splitImageTags(question);
  if (typeof tagged !== 'string' || images === 0) return tagged;
  return [...Array.from({ length: images }, () => ({ type: 'image' as const })), { type: 'text', text: question }];
}
