"""One timed run of ms-swift's `swift rlhf`, with the flags of that command.

Knows what ms-swift needs to run a small model and these rewards; knows nothing of what is compared.
"""

import sys

import rewards
from PIL import Image
from swift.pipelines import rlhf_main
from swift.rewards import ORM, orms
from swift.rlhf_trainers import GRPOTrainer
from swift.template.templates.qwen import Qwen2VLTemplate
from transformers import AutoConfig


class Trivial(ORM):
    def __call__(self, completions, response_token_ids, **_):
        return rewards.trivial(completions, response_token_ids)


class DDAPOAttentionORM(ORM):
    trainer = None  # set when it is made; ms-swift does not hand it to rewards

    def __call__(self, completions, messages, images, response_token_ids, **_):
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        prompts = [with_image_parts(conversation[:-1]) for conversation in messages]
        pictures = [picture(row[0]) for row in images]
        template = self.trainer.template
        # Its hook before the forward drops output_attentions; generation takes it off in the same way.
        hooked = template.remove_post_encode_hook()
        try:
            return rewards.negative_tdr(model, template.processor, prompts, pictures, response_token_ids)
        finally:
            template.register_post_encode_hook(hooked)


def with_image_parts(messages):
    """The conversation with an image part in place of each <image> tag at the start of a text."""
    tag = "<image>"
    return [
        message
        | {
            "content": [{"type": "image"}] * message["content"].startswith(tag)
            + [{"type": "text", "text": message["content"].removeprefix(tag)}]
        }
        for message in messages
    ]


def picture(source):
    """A row's picture: an image, or ms-swift's record of where it is."""
    if isinstance(source, dict):
        source = source["path"]
    return Image.open(source).convert("RGB") if isinstance(source, str) else source


def main():
    flags = sys.argv[1:]
    config = AutoConfig.from_pretrained(flags[flags.index("--model") + 1])
    # The template has the ids of the published vocabulary built in.
    Qwen2VLTemplate.image_token_id = config.image_token_id
    Qwen2VLTemplate.video_token_id = config.video_token_id
    orms["trivial"] = Trivial
    if "--external_plugins" not in flags:  # the plugin brings its own
        orms["ddapo_attention"] = DDAPOAttentionORM

    made = GRPOTrainer.__init__

    def remember(trainer, *args, **kwargs):
        made(trainer, *args, **kwargs)
        DDAPOAttentionORM.trainer = trainer

    GRPOTrainer.__init__ = remember
    rlhf_main(flags)


if __name__ == "__main__":
    main()
