"""A fake rollout engine, and a callback that records the results of a run. ms-swift loads this file after plugin.py.

Completions of two tokens get attention that is not finite, so that undefined ratios occur next to defined ones. An empty
completion would do the same, but ms-swift 4.6 itself fails on it.

The fake engine returns what vLLM's engine returns, a RolloutOutput per request, with ids that a test chose. A reward must not need
more from the engine than that.
"""

import json
import os
from pathlib import Path

from sightline_swift import ranks, rewards
from sightline_swift.measure import Measurement
from swift import TrainerCallback, callbacks_map
from swift.infer_engine.protocol import (
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatMessage,
    RolloutOutput,
    UsageInfo,
)


#: Number of tokens of a completion whose attention is made not finite.
SPOILT = 2

measured = Measurement.masses


def spoil(self, sequences, forwards):
    masses, differences = measured(self, sequences, forwards)
    for sequence, of in zip(sequences, masses):
        if len(sequence.completion_ids) == SPOILT and of is not None:
            of[:] = float("nan")
    return masses, differences


Measurement.masses = spoil


class Canned(TrainerCallback):
    """Returns the ids in each row's column ``canned``, which has a list of ids for each completion of its group."""

    def on_train_begin(self, args, state, control, **kwargs):
        trainer = self.trainer
        trainer.use_fast_infer = True
        trainer._fast_infer = self.rollout

    def rollout(self, samples):
        trainer = self.trainer
        first = trainer.accelerator.process_index * len(samples)
        outputs = []
        for i, sample in enumerate(samples):
            ids = sample.extra["canned"][(first + i) % trainer.num_generations]
            text = trainer.template.tokenizer.decode(ids, skip_special_tokens=True)
            message = ChatMessage(role="assistant", content=text)
            choice = ChatCompletionResponseChoice(index=0, message=message, finish_reason="stop", token_ids=list(ids))
            response = ChatCompletionResponse(model="canned", choices=[choice], usage=UsageInfo(0, len(ids), len(ids)))
            outputs.append(RolloutOutput(response=response))
        return trainer._postprocess_rollout_outputs(samples, outputs)


class Observer(TrainerCallback):
    """Writes one JSON file per rank at the end of training."""

    def __init__(self, args, trainer):
        super().__init__(args, trainer)
        self.steps = []
        self.before = len(ranks.calls)

    def on_step_end(self, args, state, control, **kwargs):
        trainer, judge = self.trainer, rewards._judge
        scene = judge._scene[1]
        implementations = [trainer.model.config._attn_implementation]
        self.steps.append(
            {
                "rows": [
                    {
                        "messages": row["messages"][:-1],
                        "images": [image["path"] for image in row.get("images") or []],
                        "case": row.get("case"),
                        "prompt_ids": sequence.prompt_ids,
                        "completion_ids": sequence.completion_ids,
                        "system_prefix": sequence.system_prefix,
                    }
                    for row, sequence in zip(scene.rows, scene.sequences)
                ],
                "tdr": list(trainer._logs["tdr"])[-scene.total :],
                "advantages": list(trainer._logs["advantages"])[-scene.total :],
                "rewards": {name: list(values)[-scene.total :] for name, values in trainer._logs["rewards"].items()},
                "probe": judge.measurement.probe,
                "implementations": implementations,
                "training": trainer.model.training,
                "checkpointing": trainer.accelerator.unwrap_model(trainer.model).is_gradient_checkpointing,
            }
        )

    def on_train_end(self, args, state, control, **kwargs):
        rank = self.trainer.accelerator.process_index
        record = {
            "steps": self.steps,
            "calls": ranks.calls[self.before :],
            "wrapped": type(self.trainer.model_wrapped).__name__,
            "model": type(self.trainer.model).__name__,
            "dtype": str(self.trainer.model.dtype),
        }
        Path(os.environ["SIGHTLINE_TEST_OUT"], f"rank-{rank}.json").write_text(json.dumps(record))


callbacks_map["canned"] = Canned
callbacks_map["observer"] = Observer
