"""The args.json of a GRPO run, as ms-swift 4.6.0 writes it; paths are replaced by names that the test fills in.

    python test/arguments/ms_swift/make_args.py test/golden/published/model

Writes args.json beside this file. Needs ms-swift 4.6.0; nothing is downloaded and nothing is trained.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

checkpoint = str(Path(sys.argv[1]).resolve())
scratch = tempfile.mkdtemp()
os.environ.update(MODELSCOPE_CACHE=scratch + "/cache", HF_HUB_OFFLINE="1")

from swift.arguments import RLHFArguments  # noqa: E402

data = scratch + "/train.jsonl"
Path(data).write_text("{}\n")
arguments = RLHFArguments(
    rlhf_type="grpo",
    model=checkpoint,
    model_type="qwen2_5_vl",
    template="qwen2_5_vl",
    dataset=[data + "#100"],
    columns={"caption": "query"},
    reward_funcs=["format"],
    tuner_type="full",
    torch_dtype="float32",
    bf16=False,
    num_generations=4,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    max_completion_length=64,
    learning_rate=1e-6,
    beta=0.0,
    output_dir=scratch + "/output",
)
arguments.save_args(scratch)
text = (Path(scratch) / "args.json").read_text()
for path, name in [(checkpoint, "CHECKPOINT"), (data, "DATA"), (scratch, "SCRATCH")]:
    text = text.replace(path, name)
Path(__file__).with_name("args.json").write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=False))
