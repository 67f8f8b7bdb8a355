import { describe, expect, test } from 'vitest';
import { helpText } from '../../src/arguments/help.ts';
import { inferCommand } from '../../src/arguments/infer.ts';
import { peerFlagNames } from '../../src/arguments/peers/index.ts';
import { rlhfWithRewards } from '../../src/arguments/reward_flags.ts';
import { rewardServerCommand } from '../../src/arguments/reward_server.ts';
import { scoreCommand } from '../../src/arguments/score.ts';
import { sftCommand } from '../../src/arguments/sft.ts';
import { checkValue } from '../../src/arguments/value.ts';

const commands = [rlhfWithRewards(), sftCommand, inferCommand, scoreCommand, rewardServerCommand];

describe.each(commands.map((spec) => [spec.name, spec] as const))('%s', (_, spec) => {
  test.each(Object.entries(spec.flags))('--%s is documented', (name, flag) => {
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(flag.help).toMatch(/^[A-Za-z].{9,}[^.]\.$/);
    if (flag.default === null) expect(flag.unset).toBeTruthy();
    else if (flag.default !== undefined)
      expect(checkValue(flag.default, flag)).toEqual({ ok: true, value: flag.default });
    const lines = helpText(spec, 10_000)
      .replace(/\n {30,}/g, ' ')
      .split('\n');
    const entries = lines.filter((line) => line.startsWith(`  --${name} `));
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatch(/\((.+; )?(required|default: .+)\)$/);
  });

  test('no flag is also listed as one of ms-swift only', () => {
    expect(Object.keys(spec.flags).filter((name) => peerFlagNames().includes(name))).toEqual([]);
  });

  test('no line is wider than asked', () => {
    const unwrapped = new Set([...spec.examples.map((line) => `  ${line}`), `Usage: ${spec.usage}`]);
    const wide = helpText(spec, 100)
      .split('\n')
      .filter((line) => line.length > 100 && !unwrapped.has(line));
    expect(wide).toEqual([]);
  });
});

test('score --help', () => {
  expect(helpText(scoreCommand, 100)).toMatchInlineSnapshot(`
    "score: log-probabilities, entropies and attention ratios of given completions

    Usage: sightline score --model DIR --dataset IN.jsonl --output OUT.jsonl [flags]

    Model:
      --model DIR|NAME                Checkpoint of Qwen2-VL, Qwen2.5-VL or dense Qwen3-VL: a folder in
                                      Hugging Face format (config.json, *.safetensors, tokenizer), or
                                      the name (ORGANISATION/NAME) of a checkpoint in the cache of
                                      Hugging Face or ModelScope. (default: the model that the adapter
                                      of --adapters was made for)
      --model_revision REVISION       Branch, tag or commit of a --model given by name. (default: main)
      --device cpu|webgpu|auto        What the model runs on: the CPU, or a graphics processor (webgpu:
                                      Vulkan, Metal or Direct3D 12). auto takes the graphics processor
                                      if it works and is faster. \`sightline devices\` lists them.
                                      (default: cpu)
      --device_memory NUMBER          Memory that --device webgpu may take. WebGPU does not tell how
                                      much there is. A run ends with an error before it takes more; rlhf
                                      warns before weights are read if a run is expected to need more,
                                      and refuses one that cannot fit. (GiB; default: all that the
                                      device gives)
      --attn_impl eager|sdpa|flash_attention_2
                                      Attention implementation. eager returns attention weights; sdpa
                                      and flash_attention_2 do not. The memory of flash_attention_2 is
                                      linear in the sequence length. (default: sdpa; also
                                      --attn_implementation)
      --min_pixels N                  Smaller images are enlarged to this size. (pixels per image;
                                      default: the checkpoint's limit; environment: MIN_PIXELS)
      --max_pixels N                  Larger images are reduced to this size. (pixels per image;
                                      default: the checkpoint's limit; environment: MAX_PIXELS)
      --image_alpha white|drop        Transparency of images: white puts a white background under them,
                                      as transformers does; drop ignores the alpha channel, as ms-swift
                                      does with --max_pixels. (default: white)
      --check_memory [true|false]     Before weights are read, refuse a run that needs more memory than
                                      the machine has by the lowest estimate. false tries it anyway.
                                      (default: true)
      --quant_bits 4|8                Quantise the weights of all layers to 4 or 8 bits, in blocks of 64
                                      with a scale each. (bits; default: weights as the checkpoint
                                      stores them)
      --weights_memory NUMBER         Memory for weights. Weights that do not fit in float32 stay in 16
                                      bits, as the checkpoint stores them; those that do not fit in 16
                                      bits stay on disk, and are read when they are used. (GiB; default:
                                      weights of 4 GiB or more stay on disk)

    LoRA:
      --adapters DIR                  Folder of a LoRA adapter for --model, in the format of PEFT (which
                                      ms-swift and sightline write). (default: none)

    Data:
      --dataset PATH...               Datasets in the formats that rlhf reads. Each row ends with an
                                      assistant message or has a \`completion_ids\` column. (required)
      --columns JSON                  New names for columns of the datasets, by the names that they
                                      have: '{"caption": "query"}'. Names that are known need none
                                      (docs/dataset.md). (default: names as they are)
      --system TEXT|FILE              System prompt for rows without one, as text or as a .txt file.
                                      (default: the chat template's own)
      --norm_bbox none|norm1000       Coordinates of boxes from the \`objects\` column: none writes pixels
                                      of the resized image, norm1000 scales them to 0 to 1000. (default:
                                      none for Qwen2.5-VL, norm1000 for Qwen2-VL and Qwen3-VL)
      --qwenvl_bbox_format legacy|new Format of names and boxes: legacy puts both between control tokens
                                      and writes boxes as (x1,y1),(x2,y2); new writes plain names and
                                      boxes as [x1, y1, x2, y2]. (default: legacy; environment:
                                      QWENVL_BBOX_FORMAT)
      --per_device_eval_batch_size N  Rows scored at once. (rows; default: 1; also --batch_size)

    Sampling:
      --temperature NUMBER            Logits are divided by this before log-probabilities and entropies
                                      are computed. (default: 1)

    Attention:
      --attn_probe eager|fused|auto   How attention is measured: eager runs a separate eager forward;
                                      fused sums attention in the scoring forward; auto compares both
                                      for the first row and then uses the cheaper one. (default: auto)

    Output:
      --output FILE                   JSONL file to write. Each row gives one line with prompt_ids,
                                      completion_ids, logps, entropies, tdr, rho_vis, rho_text, n_vis,
                                      n_text. (required)

    Other:
      --config FILE.json              JSON file of arguments by flag name, such as an earlier run's
                                      args.json. Flags on the command line take precedence. The file may
                                      also be given as the first word, without --config. (default: none)
      --ignore_unsupported [true|false]
                                      Ignore flags of ms-swift and transformers that have no counterpart
                                      here, and print a note instead of stopping. (default: false)
      --debug [true|false]            Show the stack trace of an error. (default: false)

    Examples:
      sightline score --model ./checkpoint --dataset answers.jsonl --output scores.jsonl

    Other flags of ms-swift either have no effect here, which a note reports, or stop the run with
    advice on what to use instead.
    "
  `);
});

test('rlhf --help', () => {
  expect(helpText(rlhfWithRewards(), 100)).toMatchSnapshot();
});
