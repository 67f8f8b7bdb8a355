"""Which trainers are refused, and the token ids that a template gets."""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sightline_swift.callback import check_trainer, use_token_ids_of
from sightline_swift.errors import SightlineError
from sightline_swift.judge import Reward
from sightline_swift.rewards import in_python, reward_class
from sightline_swift.scene import check_rollout


class GRPOTrainer:
    def __init__(self, **template) -> None:
        self.template = SimpleNamespace(**template)


class DPOTrainer(SimpleNamespace):
    pass


class Trainers(unittest.TestCase):
    def test_grpo_with_whole_sequences_passes(self) -> None:
        check_trainer(GRPOTrainer(sequence_parallel_size=1, padding_free=False))

    def test_others_are_refused_with_the_next_step(self) -> None:
        for trainer, words in (
            (DPOTrainer(template=SimpleNamespace()), "not for DPOTrainer[\\s\\S]*--rlhf_type grpo"),
            (GRPOTrainer(sequence_parallel_size=2), "--sequence_parallel_size above 1"),
            (GRPOTrainer(padding_free=True), "--padding_free true"),
        ):
            with self.subTest(words), self.assertRaisesRegex(SightlineError, words):
                check_trainer(trainer)

    def test_a_changing_number_of_samples_is_refused(self) -> None:
        check_rollout(SimpleNamespace(dynamic_num_samples=False))
        with self.assertRaisesRegex(SightlineError, "use single-turn rollouts"):
            check_rollout(SimpleNamespace(dynamic_num_samples=True))


class Rewards(unittest.TestCase):
    def test_without_the_callback_a_reward_says_which_flag_is_missing(self) -> None:
        made = reward_class(Reward("ddapo_attention", "DDAPOAttentionORM", True, False, in_python), None)
        self.assertEqual(made.__name__, "DDAPOAttentionORM")
        with self.assertRaisesRegex(SightlineError, "add --callbacks ddapo_attention"):
            made(SimpleNamespace(callbacks=[]))

    def test_one_that_needs_node_says_so(self) -> None:
        made = reward_class(Reward("format", "Format", False, True, in_python), None)
        with self.assertRaisesRegex(SightlineError, "needs Node"):
            made(SimpleNamespace(callbacks=["ddapo_attention"]))


class TokenIds(unittest.TestCase):
    def test_the_checkpoint_s_take_the_place_of_the_published_ones(self) -> None:
        template = SimpleNamespace(image_token_id=151655, video_token_id=151656)
        use_token_ids_of(template, SimpleNamespace(image_token_id=398, video_token_id=None))
        self.assertEqual((template.image_token_id, template.video_token_id), (398, 151656))


if __name__ == "__main__":
    unittest.main()
