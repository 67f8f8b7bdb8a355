"""What transformers does with checkpoints that are not quite as published: writes expected.json beside this file.

Usage: python make.py [published/model]    (transformers 5.24, torch; default: the golden checkpoint of the repository)

- `tie`: is the head the embedding? By where config.json says so, and by which head is stored. With it the
  log-probabilities of the tokens after a short text, so that a test sees which head was used.
- `sizes`: the image grid by `size`, `min_pixels`, `max_pixels` of preprocessor_config.json; null where it is refused.
- `ids`: the ids of texts by vocab.json and merges.txt, where there is no tokenizer.json.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

transformers.logging.set_verbosity_error()
HERE = Path(__file__).resolve().parent
MODEL = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "golden" / "published" / "model")
IDS = [72, 101, 108, 108, 111, 44, 220, 119]
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def tensors():
    result = {}
    for path in sorted(MODEL.glob("*.safetensors")):
        result.update(load_file(path))
    return result


def checkpoint(folder, config, weights):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def log_probabilities(folder):
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([IDS])).logits[0]
    chosen = torch.log_softmax(logits.double(), -1)[:-1].gather(-1, torch.tensor(IDS[1:])[:, None])[:, 0]
    tied = model.lm_head.weight.data_ptr() == model.model.language_model.embed_tokens.weight.data_ptr()
    return {"tied": tied, "logps": [round(x, 7) for x in chosen.tolist()]}


def with_ties(flat, top, text):
    """The published config with the flag at the top (None: not there), and in a text_config beside it (None: flat)."""
    config = dict(flat)
    del config["tie_word_embeddings"]
    if text is not None:
        outer = ("architectures", "model_type", "vision_config", "image_token_id", "video_token_id",
                 "vision_start_token_id", "vision_end_token_id")
        inner = {key: value for key, value in config.items() if key not in outer}
        config = {key: config[key] for key in outer}
        config["text_config"] = {**inner, "model_type": "qwen2_5_vl_text"}
        if text != "absent":
            config["text_config"]["tie_word_embeddings"] = text
    if top is not None:
        config["tie_word_embeddings"] = top
    return config


def ties(scratch):
    flat = json.loads((MODEL / "config.json").read_text())
    weights = tensors()
    cases = []
    flags = [(True, None), (False, None), (None, None), (True, False), (False, True), (None, True), (None, False),
             (True, "absent"), (None, "absent")]
    heads = {"other": weights[HEAD], "equal": weights[EMBEDDING].clone(), "absent": None}
    for top, text in flags:
        for head, value in heads.items():
            folder = scratch / f"tie-{top}-{text}-{head}"
            stored = {name: tensor for name, tensor in weights.items() if name != HEAD}
            if value is not None:
                stored[HEAD] = value
            checkpoint(folder, with_ties(flat, top, text), stored)
            found = log_probabilities(folder)
            # A head that is neither stored nor tied is drawn at random: nothing to compare with.
            if head == "absent" and not found["tied"]:
                found["logps"] = None
            cases.append({"top": top, "text": text, "head": head, **found})
            shutil.rmtree(folder)
    return cases


def sizes(scratch):
    flat = json.loads((MODEL / "preprocessor_config.json").read_text())
    bare = {key: value for key, value in flat.items() if key not in ("min_pixels", "max_pixels", "size")}
    pixels = {"min_pixels": 3136, "max_pixels": 3136}
    given = [
        {},
        {"size": None},
        {"size": {}},
        {"size": {"shortest_edge": 3136, "longest_edge": 3136}},
        {"size": {"shortest_edge": 3136}},
        {"size": {"longest_edge": 3136}},
        {"size": {"min_pixels": 3136, "max_pixels": 3136}},
        {"size": {"min_pixels": 784}},
        {"size": {"height": 56, "width": 56}},
        {"size": {"max_height": 56, "max_width": 56}},
        {"size": {"shortest_edge": 3136, "longest_edge": 3136, "depth": 3}},
        {"size": {"shortest_edge": 3136, "longest_edge": 3136, "height": 56}},
        {"size": {"shortest_edge": None, "longest_edge": None}},
        {"size": {"shortest_edge": 3136, "longest_edge": None}},
        {"size": {"shortest_edge": 0, "longest_edge": 3136}},
        {"size": {"shortest_edge": 3136, "longest_edge": 3136, "min_pixels": 784, "max_pixels": 50176}},
        {"size": {"edge": 56}},
        {"size": 56},
        {"size": [56, 56]},
        {"size": "56"},
        pixels,
        {"min_pixels": 3136},
        {"max_pixels": 3136},
        {**pixels, "size": {}},
        {**pixels, "size": {"shortest_edge": 784, "longest_edge": 50176}},
        {**pixels, "size": {"min_pixels": 784, "max_pixels": 50176}},
        {**pixels, "size": {"height": 56, "width": 56}},
        {"max_pixels": 3136, "size": {"shortest_edge": 784, "longest_edge": 50176}},
        {"max_pixels": 3136, "size": {"shortest_edge": 784}},
        {"max_pixels": 3136, "size": {"min_pixels": 784, "max_pixels": 50176}},
        {"max_pixels": 3136, "size": {"longest_edge": 50176}},
    ]
    image = Image.new("RGB", (120, 90))
    cases = []
    for fields in given:
        folder = scratch / "processor"
        folder.mkdir(exist_ok=True)
        (folder / "preprocessor_config.json").write_text(json.dumps({**bare, **fields}))
        try:
            processor = Qwen2VLImageProcessor.from_pretrained(folder)
            grid, said = processor(images=[image], return_tensors="pt")["image_grid_thw"][0].tolist(), None
        except Exception as error:  # whatever it is, transformers does not use the file
            grid, said = None, f"{type(error).__name__}: {str(error).splitlines()[0]}"
        cases.append({"fields": fields, "grid": grid})
        print(json.dumps(fields), grid, said or "")
    return {"image": [120, 90], "cases": cases}


TEXTS = [
    "Hello, world!",
    " leading and  double   spaces ",
    "tabs\tand\nlines\r\n\n\nend",
    "I'm you're WE'LL it'S",
    "12345 3.14159 1e-9 ½ ²",
    "naïve café — “quotes” … ﬁ",
    "decomposed: e\u0301 a\u030a",
    "日本語のテキスト 한국어 العربية हिन्दी",
    "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 \u200b zero",
    "<|im_start|>user\nlook<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n",
    "<tool_call>{\"a\": 1}</tool_call>  <|extra|> x",
    "a<|im_end|>b <|im_end|> c",
    "\x00\x7f\xa0\u3000",
    "",
]


def slow_files(folder, names, changes):
    folder.mkdir()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        if name in names:
            shutil.copyfile(MODEL / name, folder / name)
    for name, value in changes.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "config.json").write_text((MODEL / "config.json").read_text())


def slow_tokenizers(scratch):
    config = json.loads((MODEL / "tokenizer_config.json").read_text())
    decoder = dict(config["added_tokens_decoder"])
    word = {"content": "<tool_call>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    bare = {key: value for key, value in config.items() if key not in ("added_tokens_decoder", "additional_special_tokens")}
    added = {entry["content"]: int(number) for number, entry in decoder.items()}
    both = ("vocab.json", "merges.txt")
    shapes = {
        "decoder": (both + ("tokenizer_config.json",), {}),
        "decoder with a word": (
            both,
            {"tokenizer_config.json": {**config, "added_tokens_decoder": {**decoder, "908": {**word, "special": False}}}},
        ),
        "added_tokens.json": (both, {"tokenizer_config.json": {**bare, "additional_special_tokens": config["additional_special_tokens"]}, "added_tokens.json": {**added, "<tool_call>": 908}}),
        "added_tokens.json and special_tokens_map.json": (
            both,
            {
                "tokenizer_config.json": bare,
                "added_tokens.json": {**added, "<tool_call>": 908},
                "special_tokens_map.json": {
                    "additional_special_tokens": config["additional_special_tokens"],
                    "eos_token": {"content": "<|im_end|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False},
                    "pad_token": "<|endoftext|>",
                },
            },
        ),
        "all three": (
            both + ("tokenizer_config.json",),
            {"added_tokens.json": {**added, "<tool_call>": 908}, "special_tokens_map.json": {"eos_token": "<|im_end|>"}},
        ),
        "no tokenizer_config.json": (both, {"added_tokens.json": added}),
    }
    cases = {}
    for name, (names, changes) in shapes.items():
        folder = scratch / f"slow-{name}"
        slow_files(folder, names, changes)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            cases[name] = {
                "files": list(names),
                "changes": changes,
                "added": {str(i): [str(t), t.special] for i, t in sorted(tokenizer.added_tokens_decoder.items())},
                "ids": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS],
            }
            print(name, type(tokenizer).__name__, cases[name]["added"])
        except Exception as error:
            cases[name] = None
            print(name, type(error).__name__, str(error).splitlines()[0])
    return {"texts": TEXTS, "cases": cases}


def main():
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        expected = {
            "transformers": transformers.__version__,
            "tie": {"ids": IDS, "cases": ties(scratch)},
            "sizes": sizes(scratch),
            "slow": slow_tokenizers(scratch),
        }
    for case in expected["tie"]["cases"]:
        print(case)
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=True, indent=1) + "\n")


main()
