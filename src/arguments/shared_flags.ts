/**
 * Sets of flags that several commands share. Names and defaults are those of ms-swift 4.6; where a default differs, the help
 * says so. Knows no command.
 */
import { ALPHA_MODES } from '../data/rgb.ts';
import { lrSchedulerTypes } from '../optim/schedule.ts';
import { REWARD_ERRORS } from '../rewards/deadline.ts';
import { DEVICE_CHOICES } from '../runtime/device.ts';
import { BOX_FORMATS, BOX_NORMS } from '../template/grounding.ts';
import { boolean, choice, choiceList, integer, jsonObject, number, requiredText, text, textList } from './flag.ts';

export const modelFlags = {
  model: requiredText({
    group: 'Model',
    metavar: 'DIR|NAME',
    help: 'Checkpoint of Qwen2-VL, Qwen2.5-VL or dense Qwen3-VL: a folder in Hugging Face format (config.json, *.safetensors, tokenizer), or the name (ORGANISATION/NAME) of a checkpoint in the cache of Hugging Face or ModelScope.',
  }),
  model_revision: text({
    msSwift: { readHere: true },
    group: 'Model',
    default: null,
    unset: 'main',
    metavar: 'REVISION',
    help: 'Branch, tag or commit of a --model given by name.',
  }),
  device: choice(DEVICE_CHOICES, {
    msSwift: { ignored: 'ms-swift computes on the devices that PyTorch finds' },
    group: 'Model',
    default: 'cpu',
    help: 'What the model runs on: the CPU, or a graphics processor (webgpu: Vulkan, Metal or Direct3D 12). auto takes the graphics processor if it works and is faster. `sightline devices` lists them.',
  }),
  device_memory: number({
    msSwift: { ignored: 'ms-swift takes the memory that its devices have' },
    group: 'Model',
    default: null,
    unset: 'all that the device gives',
    min: 0,
    unit: 'GiB',
    help: 'Memory that --device webgpu may take. WebGPU does not tell how much there is. A run ends with an error before it takes more; rlhf warns before weights are read if a run is expected to need more, and refuses one that cannot fit.',
  }),
  attn_impl: choice(['eager', 'sdpa', 'flash_attention_2'], {
    msSwift: { more: ['flash_attention_3', 'flash_attention_4'] },
    group: 'Model',
    default: null,
    unset: 'sdpa',
    spellings: { flash_attn: 'flash_attention_2' },
    aliases: ['attn_implementation'],
    help: 'Attention implementation. eager returns attention weights; sdpa and flash_attention_2 do not. The memory of flash_attention_2 is linear in the sequence length.',
  }),
  min_pixels: integer({
    msSwift: { env: 'MIN_PIXELS' },
    group: 'Model',
    default: null,
    unset: "the checkpoint's limit",
    min: 1,
    unit: 'pixels per image',
    env: 'MIN_PIXELS',
    help: 'Smaller images are enlarged to this size.',
  }),
  max_pixels: integer({
    msSwift: { env: 'MAX_PIXELS' },
    group: 'Model',
    default: null,
    unset: "the checkpoint's limit",
    min: 1,
    unit: 'pixels per image',
    env: 'MAX_PIXELS',
    help: 'Larger images are reduced to this size.',
  }),
  image_alpha: choice(ALPHA_MODES, {
    msSwift: { refused: 'ms-swift lays transparent parts on white; leave it out, or convert the pictures beforehand' },
    group: 'Model',
    default: 'white',
    help: 'Transparency of images: white puts a white background under them, as transformers does; drop ignores the alpha channel, as ms-swift does with --max_pixels.',
  }),
  check_memory: boolean({
    msSwift: { ignored: 'ms-swift does not estimate the memory that a run takes' },
    group: 'Model',
    default: true,
    help: 'Before weights are read, refuse a run that needs more memory than the machine has by the lowest estimate. false tries it anyway.',
  }),
} as const;

/** An adapter to put on the model. */
export const adapterFlags = {
  adapters: textList({
    group: 'LoRA',
    default: [],
    metavar: 'DIR',
    help: 'Folder of a LoRA adapter for --model, in the format of PEFT (which ms-swift and sightline write).',
  }),
} as const;

/** @param withoutIt which weights do not fit if the flag is left out */
export const weightsMemoryHelp = (weights: string, withoutIt: string): string =>
  `Memory for ${weights}. Weights that do not fit in float32${withoutIt} stay in 16 bits, as the checkpoint stores them; those that do not fit in 16 bits stay on disk, and are read when they are used.`;

/** How weights are kept that no training changes. */
export const frozenFlags = {
  quant_bits: integer({
    group: 'LoRA',
    default: null,
    unset: 'weights as the checkpoint stores them',
    min: 1,
    unit: 'bits',
    metavar: '4|8',
    help: 'Quantise the frozen weights of all layers to 4 or 8 bits, in blocks of 64 with a scale each. Adapters stay float32.',
  }),
  weights_memory: number({
    group: 'LoRA',
    default: null,
    unset: "half of the machine's memory",
    min: 0,
    unit: 'GiB',
    msSwift: { ignored: 'ms-swift keeps weights in the memory of its devices' },
    help: weightsMemoryHelp('frozen weights', ' (without this flag: that take 4 GiB or more)'),
  }),
} as const;

/** The same of a model that is not trained at all. */
export const weightFormFlags = {
  quant_bits: integer({
    ...frozenFlags.quant_bits,
    default: null,
    group: 'Model',
    help: 'Quantise the weights of all layers to 4 or 8 bits, in blocks of 64 with a scale each.',
  }),
  weights_memory: number({
    ...frozenFlags.weights_memory,
    default: null,
    group: 'Model',
    help: weightsMemoryHelp('weights', ' (without this flag: that take 4 GiB or more)'),
  }),
} as const;

/** The model of commands that take it from the adapter if it is left out. */
export const adaptedModelFlags = {
  ...modelFlags,
  model: text({
    ...modelFlags.model,
    default: null,
    unset: 'the model that the adapter of --adapters was made for',
  }),
  ...adapterFlags,
} as const;

export const systemFlags = {
  system: text({
    group: 'Data',
    default: null,
    unset: "the chat template's own",
    empty: true,
    metavar: 'TEXT|FILE',
    help: 'System prompt for rows without one, as text or as a .txt file.',
  }),
} as const;

/** How boxes of the `objects` column are written. */
export const groundingFlags = {
  norm_bbox: choice(BOX_NORMS, {
    group: 'Data',
    default: null,
    unset: 'none for Qwen2.5-VL, norm1000 for Qwen2-VL and Qwen3-VL',
    help: 'Coordinates of boxes from the `objects` column: none writes pixels of the resized image, norm1000 scales them to 0 to 1000.',
  }),
  qwenvl_bbox_format: choice(BOX_FORMATS, {
    msSwift: { env: 'QWENVL_BBOX_FORMAT' },
    group: 'Data',
    default: 'legacy',
    env: 'QWENVL_BBOX_FORMAT',
    help: 'Format of names and boxes: legacy puts both between control tokens and writes boxes as (x1,y1),(x2,y2); new writes plain names and boxes as [x1, y1, x2, y2].',
  }),
} as const;

/** Which tokens may be sampled. */
export const samplingFlags = {
  top_p: number({
    group: 'Sampling',
    default: 1,
    above: 0,
    max: 1,
    help: 'Sample from the smallest set of tokens with at least this total probability.',
  }),
  top_k: integer({
    group: 'Sampling',
    default: -1,
    min: -1,
    unit: 'tokens',
    help: 'Sample from the k most likely tokens; -1 and 0 mean all.',
  }),
  min_p: number({
    group: 'Sampling',
    default: 0,
    min: 0,
    max: 1,
    follows: 'transformers: after top_k and top_p (vLLM: before them); TRL and ms-swift have both engines',
    help: 'Sample from tokens with at least this share of the probability of the most likely one.',
  }),
  repetition_penalty: number({
    group: 'Sampling',
    default: 1,
    above: 0,
    help: 'Make tokens that the prompt or the completion has less likely: positive logits are divided by it, negative ones multiplied.',
  }),
  stop_words: textList({
    group: 'Sampling',
    default: [],
    metavar: 'TEXT...',
    follows: "ms-swift's transformers engine: the completion keeps the word (vLLM cuts it off the text)",
    help: 'Texts that end a completion, which keeps them.',
  }),
  bad_words: textList({
    msSwift: { refused: 'ms-swift cannot ban words; leave it out' },
    group: 'Sampling',
    default: [],
    metavar: 'TEXT...',
    help: 'Words that are never sampled, alone or after a space. Of a word of several tokens, the last one is banned after the others; the same letters in other tokens are not.',
  }),
} as const;

/** How columns of a dataset are found. */
export const columnFlags = {
  columns: jsonObject({
    group: 'Data',
    default: null,
    unset: 'names as they are',
    help: 'New names for columns of the datasets, by the names that they have: \'{"caption": "query"}\'. Names that are known need none (docs/dataset.md).',
  }),
} as const;

export const trainDataFlags = {
  dataset: textList({
    group: 'Data',
    default: undefined,
    metavar: 'PATH...',
    help: 'JSONL, JSON, CSV, Parquet or Arrow files, or folders of Hugging Face datasets, with `messages`, `images` and further columns for rewards. PATH#N takes the first N rows.',
  }),
  val_dataset: textList({
    group: 'Data',
    default: [],
    metavar: 'PATH...',
    help: 'Datasets for evaluation.',
  }),
  ...columnFlags,
  split_dataset_ratio: number({
    group: 'Data',
    default: 0,
    min: 0,
    below: 1,
    unit: 'fraction of rows',
    help: 'Fraction of --dataset that is set aside for evaluation if there is no --val_dataset.',
  }),
  dataset_shuffle: boolean({ group: 'Data', default: true, help: 'Shuffle the training rows.' }),
  data_seed: integer({ group: 'Data', default: 42, min: 0, help: 'Seed of the shuffle and of the split.' }),
  ...systemFlags,
  ...groundingFlags,
  max_length: integer({
    group: 'Data',
    default: null,
    unset: 'what the model can hold',
    min: 1,
    unit: 'tokens',
    help: 'Maximum length of the input, including image tokens: the prompt in rlhf, prompt and answer in sft.',
  }),
  truncation_strategy: choice(['raise', 'delete'], {
    msSwift: { more: ['left'], words: { raise: 'delete' } },
    group: 'Data',
    default: 'raise',
    absent: {
      left: 'truncating a prompt can cut an image in two; use delete to drop such rows',
      right: 'truncating a prompt can cut an image in two; use delete to drop such rows',
      split: 'splitting rows is not supported; use delete to drop long rows',
    },
    ignorable: ['left', 'right', 'split'],
    help: 'What to do with a row longer than --max_length: raise ends the run and names the line, delete drops and counts the row. ms-swift truncates on the left.',
  }),
  strict: boolean({
    group: 'Data',
    default: true,
    help: 'End the run at a row that cannot be read; false drops and counts such rows. The default of ms-swift is false.',
  }),
} as const;

export const tuningFlags = {
  tuner_type: choice(['full', 'lora'], {
    msSwift: {
      more: ['longlora', 'adalora', 'llamapro', 'adapter', 'vera', 'boft', 'fourierft', 'reft', 'bone'],
    },
    group: 'Model',
    default: 'full',
    aliases: ['train_type'],
    help: 'full trains all parameters that are not frozen; lora trains an adapter and leaves the weights unchanged. The default of ms-swift is lora.',
  }),
  freeze_llm: boolean({
    group: 'Model',
    default: false,
    help: 'Do not train the text decoder. With --tuner_type lora, all-linear adds no adapters to it.',
  }),
  freeze_vit: boolean({
    group: 'Model',
    default: true,
    help: 'Do not train the vision tower. With --tuner_type lora, all-linear adds no adapters to it.',
  }),
  freeze_aligner: boolean({
    group: 'Model',
    default: true,
    help: 'Do not train the merger between vision tower and decoder. With --tuner_type lora, all-linear adds no adapters to it.',
  }),
  freeze_parameters: textList({
    group: 'Model',
    default: [],
    metavar: 'PREFIX...',
    help: 'Do not train parameters whose names start with one of these, e.g. model.language_model.layers.0.',
  }),
  freeze_parameters_regex: text({
    group: 'Model',
    default: null,
    unset: 'none',
    metavar: 'REGEX',
    help: 'Do not train parameters whose names contain a match of this pattern.',
  }),
  freeze_parameters_ratio: number({
    group: 'Model',
    default: 0,
    min: 0,
    max: 1,
    unit: 'fraction of parameters',
    help: 'Do not train the first parameters of the model, up to this share of all of them: first the vision tower, then the decoder from its embedding on.',
  }),
  trainable_parameters: textList({
    group: 'Model',
    default: [],
    metavar: 'PREFIX...',
    help: 'Train parameters whose names start with one of these, even if another flag freezes them.',
  }),
  trainable_parameters_regex: text({
    group: 'Model',
    default: null,
    unset: 'none',
    metavar: 'REGEX',
    help: 'Train parameters whose names contain a match of this pattern, even if another flag freezes them.',
  }),
  ...adapterFlags,
  ...frozenFlags,
  lora_rank: integer({ group: 'LoRA', default: 8, min: 1, help: 'Rank of the adapters.' }),
  lora_alpha: number({ group: 'LoRA', default: 32, above: 0, help: 'Adapters are scaled by lora_alpha / lora_rank.' }),
  lora_dropout: number({
    group: 'LoRA',
    default: 0.05,
    min: 0,
    below: 1,
    help: 'Dropout on the inputs of adapters during training. Sampling uses none, so a value above 0 makes every step run a training forward, instead of learning from what sampling has computed.',
  }),
  lora_bias: choice(['none'], {
    msSwift: { more: ['all'] },
    group: 'LoRA',
    default: 'none',
    absent: { all: 'training the biases is not built; --modules_to_save trains whole modules' },
    help: 'Which biases to train with the adapters.',
  }),
  use_rslora: boolean({
    group: 'LoRA',
    default: false,
    help: 'Scale adapters by lora_alpha / sqrt(lora_rank) (rank-stabilised LoRA).',
  }),
  lorap_lr_ratio: number({
    group: 'LoRA',
    default: null,
    unset: '1',
    above: 0,
    help: 'LoRA+: learning rate of the B matrices, as a multiple of --learning_rate. Embeddings in --modules_to_save then use 1e-6.',
  }),
  init_weights: choice(['true', 'false', 'gaussian'], {
    msSwift: { more: ['pissa', 'olora', 'loftq', 'lora-ga'] },
    group: 'LoRA',
    default: 'true',
    absent: {
      pissa: 'not built',
      olora: 'not built',
      loftq: 'not built',
      'lora-ga': 'not built',
    },
    help: 'Initial values: A uniform and B zero (true), A normal and B zero (gaussian), or both random (false).',
  }),
  target_modules: textList({
    group: 'LoRA',
    default: ['all-linear'],
    metavar: 'NAME...',
    help: 'Linear layers to adapt, by the last part of their names, e.g. q_proj v_proj. all-linear adapts all of them in the parts of the model that are not frozen, except the head.',
  }),
  target_regex: text({
    group: 'LoRA',
    default: null,
    unset: '--target_modules',
    metavar: 'REGEX',
    help: "Adapt the linear layers whose full name matches this pattern, e.g. 'model\\.language_model\\..*\\.(q_proj|v_proj)'.",
  }),
  modules_to_save: textList({
    group: 'LoRA',
    default: [],
    metavar: 'NAME...',
    help: 'Modules to train completely and save with the adapters, by the ends of their names, e.g. embed_tokens lm_head. all-embedding and all-norm name all embeddings and all norms.',
  }),
  gradient_checkpointing: boolean({
    group: 'Optimiser',
    default: null,
    unset:
      'only if the intermediate values would take more than 256 MiB and more than a quarter of weights, gradients and moments',
    help: 'Recompute each block in the backward pass instead of keeping its intermediate values. This takes less memory and more time.',
  }),
} as const;

export const optimiserFlags = {
  learning_rate: number({
    group: 'Optimiser',
    default: null,
    unset: '1e-5, with --tuner_type lora 1e-4',
    min: 0,
    help: 'Peak learning rate.',
  }),
  vit_lr: number({
    group: 'Optimiser',
    default: null,
    unset: '--learning_rate',
    min: 0,
    help: 'Peak learning rate of the vision tower and its adapters.',
  }),
  aligner_lr: number({
    group: 'Optimiser',
    default: null,
    unset: '--learning_rate',
    min: 0,
    help: 'Peak learning rate of the merger and its adapters.',
  }),
  weight_decay: number({
    group: 'Optimiser',
    default: 0.1,
    min: 0,
    help: 'Decoupled weight decay of AdamW. Biases and norms do not decay.',
  }),
  adam_beta1: number({ group: 'Optimiser', default: 0.9, min: 0, below: 1, help: 'Decay of the first moment.' }),
  adam_beta2: number({ group: 'Optimiser', default: 0.95, min: 0, below: 1, help: 'Decay of the second moment.' }),
  adam_epsilon: number({
    group: 'Optimiser',
    default: 1e-8,
    above: 0,
    help: "Added to AdamW's denominator for numerical stability.",
  }),
  max_grad_norm: number({
    group: 'Optimiser',
    default: 1,
    min: 0,
    help: 'Gradients with a larger norm are scaled down to this norm; 0 turns clipping off.',
  }),
  lr_scheduler_type: choice(lrSchedulerTypes, {
    msSwift: {
      more: ['polynomial', 'inverse_sqrt', 'reduce_lr_on_plateau', 'cosine_warmup_with_min_lr', 'warmup_stable_decay'],
    },
    group: 'Optimiser',
    default: 'cosine',
    help: 'Schedule of the learning rate after the warm-up. constant has no warm-up.',
  }),
  lr_scheduler_kwargs: jsonObject({
    group: 'Optimiser',
    default: null,
    unset: 'none',
    help: 'Settings of the schedule: {"min_lr_rate": 0.1} or {"min_lr": 1e-7} for cosine_with_min_lr, {"num_cycles": 0.5} for the cosine schedules.',
  }),
  warmup_ratio: number({
    group: 'Optimiser',
    default: 0,
    min: 0,
    below: 1,
    unit: 'fraction of steps',
    help: 'Warm-up as a fraction of all steps. Cannot be combined with --warmup_steps.',
  }),
  warmup_steps: integer({
    group: 'Optimiser',
    default: 0,
    min: 0,
    unit: 'steps',
    help: 'Steps over which the learning rate rises from 0.',
  }),
} as const;

export const lengthFlags = {
  num_train_epochs: number({
    group: 'Length of the run',
    default: 3,
    above: 0,
    unit: 'epochs',
    help: 'Passes over the training rows.',
  }),
  max_steps: integer({
    group: 'Length of the run',
    default: -1,
    min: -1,
    unit: 'steps',
    help: 'Number of optimiser steps. A value above 0 overrides --num_train_epochs.',
  }),
  seed: integer({
    group: 'Length of the run',
    default: 42,
    min: 0,
    help: 'Seed of sampling and of everything else that is random, except for the order of rows.',
  }),
} as const;

export const evaluationFlags = {
  eval_strategy: choice(['no', 'steps', 'epoch'], {
    group: 'Evaluation',
    default: null,
    unset: 'the value of --save_strategy; no if there are no evaluation rows',
    help: 'When to evaluate.',
  }),
  eval_steps: integer({
    group: 'Evaluation',
    default: null,
    unset: 'the value of --save_steps',
    min: 1,
    unit: 'steps',
    help: 'Steps between two evaluations with --eval_strategy steps.',
  }),
  eval_on_start: boolean({ group: 'Evaluation', default: false, help: 'Evaluate once before the first step.' }),
} as const;

/** Of commands that call rewards. */
export const rewardFailureFlags = {
  reward_timeout: number({
    msSwift: { env: 'SIGHTLINE_REWARD_TIMEOUT' },
    group: 'Rewards',
    default: null,
    unset: 'no limit',
    above: 0,
    max: 86_400,
    unit: 'seconds',
    help: 'Time limit for an asynchronous reward and one batch of completions. A reward that computes without a pause cannot be interrupted.',
  }),
  reward_error: choice(REWARD_ERRORS, {
    msSwift: { env: 'SIGHTLINE_REWARD_ERROR' },
    group: 'Rewards',
    default: 'stop',
    help: 'What happens when a reward throws, exceeds --reward_timeout or gets no usable answer from its judge: stop ends the run; skip makes its values null for these completions, with a warning.',
  }),
} as const;

export const outputFlags = {
  output_dir: text({
    group: 'Output',
    default: 'output',
    metavar: 'DIR',
    help: 'Folder in which the run folder is created.',
  }),
  add_version: boolean({
    msSwift: { readHere: true },
    group: 'Output',
    default: true,
    help: 'Create a new folder vN-YYYYMMDD-HHMMSS in --output_dir. false writes into --output_dir itself, which must not hold another run.',
  }),
  logging_steps: integer({
    group: 'Output',
    default: 5,
    min: 1,
    unit: 'steps',
    help: 'Steps between two log records. Metrics are averaged over these steps.',
  }),
  logging_first_step: boolean({ group: 'Output', default: true, help: 'Log the first step as well.' }),
  report_to: choiceList(['tensorboard', 'none'], {
    msSwift: { more: ['wandb', 'swanlab', 'all'] },
    group: 'Output',
    default: ['tensorboard'],
    absent: {
      wandb: 'nothing is sent over the network; tensorboard writes event files into runs/',
      swanlab: 'nothing is sent over the network; tensorboard writes event files into runs/',
      all: 'use tensorboard, the only one',
    },
    ignorable: ['wandb', 'swanlab', 'all'],
    help: 'TensorBoard event files in runs/, or none. logging.jsonl is always written.',
  }),
  save_strategy: choice(['no', 'steps', 'epoch'], {
    group: 'Output',
    default: 'steps',
    help: 'When to save checkpoints. steps and epoch also save after the last step.',
  }),
  save_steps: integer({
    group: 'Output',
    default: 500,
    min: 1,
    unit: 'steps',
    help: 'Steps between two checkpoints with --save_strategy steps.',
  }),
  save_total_limit: integer({
    group: 'Output',
    default: null,
    unset: 'all are kept',
    min: 1,
    unit: 'checkpoints',
    help: 'Maximum number of checkpoints kept; older ones are deleted.',
  }),
  save_only_model: boolean({
    group: 'Output',
    default: false,
    help: 'Save checkpoints without the optimiser state. Such a checkpoint cannot be resumed.',
  }),
  resume_from_checkpoint: text({
    group: 'Output',
    default: null,
    unset: 'a new run',
    metavar: 'RUN/checkpoint-N|last',
    help: 'Checkpoint to continue from, in the folder of its run; last for the last checkpoint of the newest run in --output_dir, or a new run if there is none. The run goes on as if it had not stopped, bit by bit. Give the flags of the run, for instance with --config RUN/args.json.',
  }),
  resume_only_model: boolean({
    group: 'Output',
    default: false,
    help: 'With --resume_from_checkpoint: take the weights and the position in the data, and begin with a new optimizer and schedule.',
  }),
  ignore_data_skip: boolean({
    group: 'Output',
    default: false,
    help: 'With --resume_from_checkpoint: begin the epoch under way anew. Together with --resume_only_model, a new run that begins with the weights of the checkpoint.',
  }),
} as const;

/** Flags of every command. */
export const commonFlags = {
  config: text({
    msSwift: { readHere: true },
    group: 'Other',
    default: null,
    unset: 'none',
    metavar: 'FILE.json',
    help: "JSON file of arguments by flag name, such as an earlier run's args.json. Flags on the command line take precedence. The file may also be given as the first word, without --config.",
  }),
  ignore_unsupported: boolean({
    msSwift: { readHere: true },
    group: 'Other',
    default: false,
    help: 'Ignore flags of ms-swift and transformers that have no counterpart here, and print a note instead of stopping.',
  }),
  debug: boolean({
    msSwift: { readHere: true },
    group: 'Other',
    default: false,
    spellings: { '': false }, // the Trainer's flag of this name is a list, empty by default
    help: 'Show the stack trace of an error.',
  }),
} as const;
