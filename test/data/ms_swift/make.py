"""What ms-swift makes of rows: the ids of prompts and of whole conversations, or that it refuses the row.

    python test/data/ms_swift/make.py test/golden/published

Writes expected.json beside this file. Needs ms-swift 4.6.0 and its libraries; nothing is downloaded.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

golden = Path(sys.argv[1]).resolve()
here = Path(__file__).resolve().parent
scratch = Path(tempfile.mkdtemp())
# The pixel limits of the golden checkpoint, in the unit of ms-swift's loader: tokens of 28 x 28 pixels.
os.environ.update(MODELSCOPE_CACHE=str(scratch / "cache"), IMAGE_MIN_TOKEN_NUM="4", IMAGE_MAX_TOKEN_NUM="64")

from swift.dataset import load_dataset  # noqa: E402
from swift.model import get_model_processor  # noqa: E402
from swift.template import get_template  # noqa: E402
from swift.utils import remove_response  # noqa: E402

# Control tokens of the published models that the golden checkpoint's small vocabulary leaves out.
GROUNDING = ["<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"]


def user(content, **more):
    return dict(role="user", content=content, **more)


def assistant(content, **more):
    return dict(role="assistant", content=content, **more)


CALL = {"name": "zoom", "arguments": {"factor": 2, "place": "Köln \"am\" Rhein", "deep": {"a": [1, None, True]}}}
WEATHER = {"name": "weather", "arguments": {}}

# One file a row, as ms-swift looks at the columns of a whole file. `env` is set for the row.
CASES = [
    # --- forms of a conversation ---
    ("messages", dict(messages=[user("<image>What?"), assistant("Red.")], images=["a.png"])),
    ("query and response", dict(query="What?", response="Red.")),
    ("query, history, system", dict(system="Be brief.", query="And now?", history=[["Hi", "Yes"]], response="No.")),
    ("system_prompt", dict(system_prompt="Be brief.", question="And now?")),
    ("problem and solution", dict(problem="<image>What?", image="b.png", solution="<answer>3</answer>")),
    ("alpaca", dict(instruction="Add them.", input="1 2", output="3")),
    ("alpaca, empty input", dict(instruction="Say hi.", input="", output="hi")),
    ("alpaca, empty instruction", dict(instruction="", input="Say hi.", output="hi")),
    ("instruction alone", dict(instruction="Say hi.", output="hi")),
    ("input alone", dict(input="Say hi.", target="hi")),
    ("two answers are none", dict(query="Say hi.", answer="a", output="b")),
    ("a list of answers", dict(query="Say hi.", answers=["one", "two"])),
    ("conversations", {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}),
    ("pairs", dict(conversation=[{"human": "Q", "assistant": "A"}, {"human": "Q2", "assistant": "A2"}])),
    ("messages as JSON", dict(messages=json.dumps([user("Q"), assistant("A")]))),
    ("system column", dict(system="Be brief.", messages=[user("Q"), assistant("A")])),
    ("system message wins", dict(system="no", messages=[dict(role="system", content="yes"), user("Q")])),
    ("empty system column", dict(system="", messages=[user("<image>Q"), assistant("A")], images=["a.png"])),
    ("empty system message", dict(messages=[dict(role="system", content=""), user("Q"), assistant("A")])),
    ("upper case", {"Query": "<image>Q", "Response": "A", "Images": ["a.png"]}),
    ("parts", dict(messages=[user([{"type": "image", "image": "a.png"}, {"type": "text", "text": "Q"}])])),
    ("part image_url", dict(messages=[user([{"type": "text", "text": "Q"}, {"type": "image_url", "image_url": {"url": "b.png"}}])])),
    ("the assistant first", dict(messages=[assistant("Hello."), user("Q"), assistant("A")])),
    ("neighbours of one role", dict(messages=[user("Q"), user("<image>Q2"), assistant("A"), assistant("B")], images=["a.png"])),
    # --- images and tags ---
    ("no tag", dict(messages=[user("What?"), assistant("Red.")], images=["a.png"])),
    ("one tag of three", dict(messages=[user("And <image>?"), assistant("Red.")], images=["a.png", "b.png", "c.png"])),
    ("no tag, several turns", dict(system="S", query="Q2", history=[["Q", "A"]], images=["a.png"])),
    ("more tags than images", dict(messages=[user("<image> and <image> and <image>"), assistant("A")], images=["a.png"])),
    ("tags without images", dict(messages=[user("<image>Q"), assistant("A")])),
    ("tag in the system", dict(messages=[dict(role="system", content="See <image>."), user("<image>Q")], images=["a.png", "b.png"])),
    ("blanks around a path", dict(messages=[user("<image>Q")], images=[" a.png"])),
    ("image beside a tag", dict(messages=[user([{"type": "text", "text": "<image>Q "}, {"type": "image", "image": "b.png"}])])),
    ("a tag of Qwen-VL", dict(messages=[user("<img>b.png</img>What?"), assistant("Red.")])),
    # --- objects ---
    ("ref and box", dict(
        messages=[user("<image>Where is <ref-object>?"), assistant("At <bbox>, not <bbox>.")], images=["c.png"],
        objects={"ref": ["the dog"], "bbox": [[3, 5, 20, 30], [7, 11]]})),
    ("boxes in several images", dict(
        messages=[user("<image><image>From <bbox> to <bbox>?"), assistant("<ref-object><bbox>")], images=["a.png", "e.png"],
        objects={"ref": ["x"], "bbox": [[1, 2, 33, 44], [5.5, 6.25, 17.5, 8], [2, 3]], "image_id": [1, 0, 1]})),
    ("fractions", dict(
        messages=[user("<image>Q <bbox>"), assistant("<bbox>")], images=["f.png"],
        objects={"bbox": [[0.125, 0.25, 0.5, 1], [0.1, 0.9]], "bbox_type": "norm1"})),
    ("corners the wrong way round", dict(
        messages=[user("<image>Q"), assistant("<bbox>")], images=["b.png"], objects={"ref": [], "bbox": [[30, 20, 4, 5]]})),
    ("more placeholders than objects", dict(
        messages=[user("<image><ref-object> <ref-object> <bbox> <bbox>"), assistant("A")], images=["b.png"],
        objects={"ref": ["dog"], "bbox": [[1, 2, 3, 4]]})),
    ("placeholders without objects", dict(messages=[user("<image><ref-object> <bbox>"), assistant("A")], images=["b.png"])),
    ("the other format", dict(
        messages=[user("<image>Where is <ref-object>?"), assistant("<bbox> <bbox>")], images=["d.png"],
        objects={"ref": ["dog"], "bbox": [[1, 2, 30, 41], [7, 9]]}), {"QWENVL_BBOX_FORMAT": "new"}),
    ("norm1000", dict(
        messages=[user("<image>Where is <ref-object>?"), assistant("<bbox>")], images=["d.png"],
        objects={"ref": ["dog"], "bbox": [[1, 2, 30, 41]]}), {"norm_bbox": "norm1000"}),
    ("a box in no image", dict(
        messages=[user("<image>Q"), assistant("<bbox>")], images=["b.png"], objects={"bbox": [[1, 2, 3, 4]], "image_id": [3]})),
    ("three corners", dict(messages=[user("<image>Q <bbox>")], images=["b.png"], objects={"bbox": [[1, 2, 3]]})),
    # --- tools ---
    ("tool call", dict(messages=[
        user("Q"), dict(role="tool_call", content=json.dumps(CALL)), dict(role="tool_response", content="warm"), assistant("A")])),
    ("tool calls, as objects", dict(messages=[
        user("Q"), dict(role="tool_call", content=CALL), dict(role="tool_call", content=WEATHER),
        dict(role="tool_response", content='{"t": 1}'), dict(role="tool_response", content="warm"), assistant("A")])),
    ("a word before the call", dict(messages=[
        user("Q"), assistant("Let me see."), dict(role="tool_call", content=json.dumps(WEATHER)),
        dict(role="tool", content="warm"), assistant("A")])),
    ("the answer is a call", dict(messages=[user("Q"), dict(role="function_call", content=json.dumps(WEATHER))])),
    ("OpenAI's calls", dict(messages=[
        user("Q"),
        assistant("Let me see.", tool_calls=[
            {"id": "1", "type": "function", "function": {"name": "zoom", "arguments": "{\"factor\": 2}"}},
            {"id": "2", "type": "function", "function": WEATHER}]),
        dict(role="tool", tool_call_id="2", content="warm"), dict(role="tool", tool_call_id="1", content="big"), assistant("A")])),
    ("observation", {"conversations": [
        {"from": "human", "value": "Q"}, {"from": "function_call", "value": json.dumps(WEATHER)},
        {"from": "observation", "value": "warm <image>"}, {"from": "gpt", "value": "A"}], "images": ["a.png"]}),
    ("tool response to the user", dict(messages=[user("Q"), dict(role="tool", content="warm"), assistant("A")])),
    ("a call without arguments", dict(messages=[user("Q"), dict(role="tool_call", content='{"name": "zoom"}')])),
    # --- rows that are refused ---
    ("unknown role", dict(messages=[dict(role="narrator", content="Q")])),
    ("no content", dict(messages=[user(None)])),
    ("no question", dict(solution="3")),
]

# A chat template that lists tools, since that of the golden checkpoint does not.
TOOLS_TEMPLATE = """{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% else %}{% set system = 'S' %}{% endif -%}
<|im_start|>system
{{ system }}
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% for message in messages if message['role'] != 'system' %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
BARE = {"name": "zoom", "description": "größer", "parameters": {
    "type": "object", "required": ["factor"],
    "properties": {"factor": {"type": "integer", "default": None, "enum": [1, 2, None]}, "other": None, "title": {"title": None}}}}
WRAPPED = {"type": "function", "function": {"name": "weather", "description": "says \"hot\"", "parameters": {}}}
TOOLS = [
    ("a list", [BARE, WRAPPED]),
    ("texts in a list", [json.dumps(BARE), json.dumps(WRAPPED)]),
    ("text of a list", json.dumps([BARE, WRAPPED])),
    ("a single one", WRAPPED),
    ("text of a single one", json.dumps(WRAPPED)),
]


def value_of(processor, name, row, settings):
    path = scratch / "row.jsonl"
    path.write_text(json.dumps(row))
    os.environ["QWENVL_BBOX_FORMAT"] = settings.get("QWENVL_BBOX_FORMAT", "legacy")
    shutil.rmtree(scratch / "cache" / "datasets", ignore_errors=True)
    try:
        dataset, _ = load_dataset([str(path)], strict=True, load_from_cache_file=False)
        read = {key: value for key, value in dataset[0].items() if value is not None}
        template = get_template(
            processor, template_type="qwen2_5_vl", norm_bbox=settings.get("norm_bbox"))
        template.image_token_id = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        template.set_mode("train")
        whole = template.encode(json.loads(json.dumps(read)))["input_ids"]
        # As GRPO asks for a prompt: without the answer at the end.
        template.set_mode("transformers")
        remove_response(read["messages"])
        prompt = template.encode(read)["input_ids"]
    except Exception as error:  # whatever it is, ms-swift leaves the row out
        print(f"{name}: refused, {type(error).__name__}: {error}"[:200])
        return None
    print(f"{name}: {processor.tokenizer.decode(whole)!r}"[:300])
    return dict(prompt=list(prompt), whole=list(whole))


def tools_of(processor, tools):
    path = scratch / "row.jsonl"
    path.write_text(json.dumps(dict(messages=[user("Q")], tools=tools)))
    shutil.rmtree(scratch / "cache" / "datasets", ignore_errors=True)
    dataset, _ = load_dataset([str(path)], strict=True, load_from_cache_file=False)
    template = get_template(processor, template_type="qwen2_5_vl")
    from swift.template.template_inputs import StdTemplateInputs
    inputs = StdTemplateInputs.from_dict(dataset[0])
    template._preprocess_tools(inputs)
    return processor.tokenizer.apply_chat_template(
        inputs.messages, tools=inputs.tools, chat_template=TOOLS_TEMPLATE, tokenize=False, add_generation_prompt=True)


def main():
    os.chdir(golden / "golden" / "images")
    _, processor = get_model_processor(str(golden / "model"), model_type="qwen2_5_vl", load_model=False)
    processor.tokenizer.add_tokens(GROUNDING, special_tokens=True)
    cases = []
    for name, row, *rest in CASES:
        settings = rest[0] if rest else {}
        cases.append(dict(name=name, row=row, settings=settings, expected=value_of(processor, name, row, settings)))
    tools = [dict(name=name, tools=each, text=tools_of(processor, each)) for name, each in TOOLS]
    lines = ",\n".join("    " + json.dumps(case, ensure_ascii=False) for case in cases)
    listed = ",\n".join("    " + json.dumps(case, ensure_ascii=False) for case in tools)
    template = json.dumps(TOOLS_TEMPLATE)
    (here / "expected.json").write_text(
        f'{{\n  "cases": [\n{lines}\n  ],\n  "toolsTemplate": {template},\n  "tools": [\n{listed}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
    shutil.rmtree(scratch)
