"""The callback that gives the plugin access to the trainer. ms-swift creates it with the trainer, before any rollout."""

from __future__ import annotations

from typing import Any

from swift import TrainerCallback

from .errors import SightlineError
from .judge import Judge
from .pixels import require_pixel_limits
from .rewards import set_judge
from .server import RewardServer
from .settings import Settings


class AttentionCallback(TrainerCallback):
    def __init__(self, args: Any, trainer: Any, *, settings: Settings, server: RewardServer | None) -> None:
        super().__init__(args, trainer)
        self._settings = settings
        self._server = server
        check_trainer(trainer)
        require_pixel_limits(trainer.template.model_info.model_dir)
        use_token_ids_of(trainer.template, trainer.template.config)
        self._judge: Judge | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._judge is not None:
            self._judge.correlate()

    on_prediction_step = on_step_end

    def _begin(self) -> None:
        """Creates the judge at the start of training, because the accelerator does not exist earlier."""
        if self._judge is None:
            self._judge = Judge(self.trainer, self._settings, self._server)
            set_judge(self._judge)


def check_trainer(trainer: Any) -> None:
    """:raises SightlineError: the trainer has no groups of completions, or splits or packs sequences"""
    template = trainer.template
    if not any(kind.__name__ == "GRPOTrainer" for kind in type(trainer).__mro__):
        raise SightlineError(f"attention rewards are for GRPO, not for {type(trainer).__name__}", "use --rlhf_type grpo")
    if getattr(template, "sequence_parallel_size", 1) > 1:
        raise SightlineError(
            "--sequence_parallel_size above 1 splits sequences over ranks, but attention is measured on whole sequences",
            "leave the flag out; --deepspeed zero3 also saves memory",
        )
    if getattr(template, "padding_free", False):
        raise SightlineError(
            "--padding_free true packs several sequences into one row, but attention is measured on rows with one sequence",
            "leave the flag out",
        )


def use_token_ids_of(template: Any, config: Any) -> None:
    """Sets the checkpoint's token ids in the template, because ms-swift assumes those of the published vocabulary."""
    for name in ("image_token_id", "video_token_id"):
        value = getattr(config, name, None)
        if value is not None and hasattr(template, name):
            setattr(template, name, value)
