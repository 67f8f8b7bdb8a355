/**
 * A conversation with a checkpoint: question by question, images among them, answers as they grow.
 * Knows the template and the sampler; not the terminal.
 */
import { join, resolve } from 'node:path';
import type { InferArguments } from '../arguments/resolve.ts';
import { readJsonFile } from '../checkpoint/json_file.ts';
import { readTrainedOn, type TrainedOn } from '../checkpoint/trained_on.ts';
import type { ImageSource } from '../data/image_source.ts';
import { type ContentPart, type Message, splitImageTags } from '../data/messages.ts';
import { createGenerator } from '../engine/generation.ts';
import { SightlineError } from '../errors.ts';
import { createRandom } from '../util/random.ts';
import type { RunContext } from './events.ts';
import { type PreparedPolicy, policyOptions, preparePolicy } from './policy.ts';
import { loaderOf } from './preflight.ts';
import { checkInferMemory } from './run_memory.ts';
import { checkCompletionLength, stopsAndBans } from './sampling.ts';

export interface Chat {
  /** What is to be said of the checkpoint. */
  readonly notes?: readonly string[];
  /**
   * Looks at an image (a path) before it is asked about; a note where it is unlike all that the checkpoint was trained on.
   * Errors: those of the image.
   */
  look(image: string): Promise<string | null>;
  /**
   * Adds a question with its images (paths) to the conversation and answers it; `onText` gets the answer as it grows.
   * Images stand where the question has `<image>` tags, or before it if it has none.
   * A question that cannot be taken throws and leaves the conversation as it was.
   */
  ask(question: string, images: readonly string[], onText: (piece: string) => void): Promise<string>;
  /** Forgets the conversation. */
  clear(): void;
  close(): Promise<void>;
}

export interface ChatContext extends Pick<RunContext, 'signal' | 'emit'> {
  /** Told once of what was done to images that nobody asked for. */
  readonly tell?: (text: string) => void;
}

/** Errors: those of the checkpoint; and, before its weights are read, what is wrong with the first question's images. */
export async function openChat(args: InferArguments, context: ChatContext): Promise<Chat> {
  const { signal } = context;
  const prepared = await preparePolicy(policyOptions(args, false, context.tell));
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
      await generator.generate([prompt], {
        count: 1,
        maxNewTokens: args.maxNewTokens,
        temperature: args.temperature,
        topP: args.topP,
        topK: args.topK,
        ...stopsAndBans(policy),
        random: random.fork(`turn ${turn}`),
        signal,
        onTokens: ([token]) => show(decoder.push(token!.id)),
      });
      show(decoder.end());
      messages = [...asked, { role: 'assistant', content: answer }];
      images = shown;
      turn++;
      return answer;
    },
    clear() {
      messages = [];
      images = [];
    },
    async close() {
      await generator.release();
      await policy.close();
    },
  };
}

// --- internal ---

const sourceOf = (path: string): ImageSource => ({ kind: 'path', path: resolve(path), where: '--image, /image' });

/** A note on an image that has another size than all those of the training, after resizing. */
function unlike(trainedOn: TrainedOn, image: { path: string; width: number; height: number }): string | null {
  const { width, height, subject } = trainedOn;
  if (image.width === width && image.height === height) return null;
  return `${image.path} is read as ${image.width} x ${image.height} pixels, but this checkpoint was trained only on pictures of ${width} x ${height} pixels (${subject}): its answer will mean little`;
}

/** Encodes the first question, as far as it is known. Returns its tokens. Errors: those of `ask`. */
async function tryQuestion(args: InferArguments, policy: PreparedPolicy): Promise<number> {
  checkCompletionLength('max_new_tokens', args.maxNewTokens, policy);
  if (args.prompt === null && args.image.length === 0) return 0;
  const asked: Message = { role: 'user', content: contentOf(args.prompt ?? '', args.image.length) };
  const where = 'the conversation';
  const { ids } = await policy.template.encode([asked], args.image.map(sourceOf), { where }).catch(withOwnHint);
  return ids.length;
}

/** The paths of a conversation start elsewhere than those of a dataset. */
function withOwnHint(error: unknown): never {
  if (!(error instanceof SightlineError) || error.code !== 'E_IMAGE_MISSING') throw error;
  const hint = 'check the path; a relative one starts from the folder that sightline was started in';
  throw new SightlineError(error.code, error.message, { where: error.where, hint, cause: error.cause });
}

function contentOf(question: string, images: number): string | ContentPart[] {
  const tagged = splitImageTags(question);
  if (typeof tagged !== 'string' || images === 0) return tagged;
  return [...Array.from({ length: images }, () => ({ type: 'image' as const })), { type: 'text', text: question }];
}
