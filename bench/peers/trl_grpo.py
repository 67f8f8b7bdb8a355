"""One timed run of TRL's GRPOTrainer. Takes ms-swift's flag names, so that all peers get the same line.

Knows how to say those flags to TRL; knows nothing of what is compared.
"""

import argparse
import json

import rewards
import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from trl import GRPOConfig, GRPOTrainer

# Flags whose name and meaning are the same in GRPOConfig.
SAME = {
    "num_generations": int,
    "per_device_train_batch_size": int,
    "gradient_accumulation_steps": int,
    "max_completion_length": int,
    "temperature": float,
    "top_p": float,
    "loss_type": str,
    "epsilon": float,
    "beta": float,
    "learning_rate": float,
    "lr_scheduler_type": str,
    "weight_decay": float,
    "adam_beta1": float,
    "adam_beta2": float,
    "max_grad_norm": float,
    "max_steps": int,
    "seed": int,
    "output_dir": str,
}


def main():
    parser = argparse.ArgumentParser()
    for name, kind in SAME.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--gradient_checkpointing", choices=["true", "false"], required=True)
    parser.add_argument("--reward_funcs", nargs="+", choices=["trivial", "ddapo_attention"], required=True)
    flags = parser.parse_args()

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(flags.model, dtype=torch.float32)
    model.model.visual.requires_grad_(False)
    processor = AutoProcessor.from_pretrained(flags.model)
    config = GRPOConfig(
        **{name: getattr(flags, name) for name in SAME},
        gradient_checkpointing=flags.gradient_checkpointing == "true",
        top_k=0,
        use_cpu=True,
        bf16=False,
        shuffle_dataset=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
    )

    def trivial(completions, completion_ids, **_):
        return rewards.trivial([completion[0]["content"] for completion in completions], completion_ids)

    def ddapo_attention(prompts, completion_ids, image, **_):
        policy = trainer.accelerator.unwrap_model(trainer.model)
        prompts = [with_images(prompt) for prompt in prompts]
        return rewards.negative_tdr(policy, processor, prompts, image, completion_ids)

    known = {"trivial": trivial, "ddapo_attention": ddapo_attention}
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[known[name] for name in flags.reward_funcs],
        args=config,
        train_dataset=rows(flags.dataset),
        processing_class=processor,
    )
    trainer.train()


def rows(path):
    """Rows of ms-swift's format as TRL wants them: an `image` column, and no <image> tag in the text."""
    with open(path) as file:
        records = [json.loads(line) for line in file]
    return Dataset.from_list(
        [
            {
                "prompt": [message | {"content": message["content"].replace("<image>", "")} for message in row["messages"]],
                "image_path": row["images"][0],
            }
            for row in records
        ]
    ).map(lambda row: {"image": Image.open(row["image_path"]).convert("RGB")})


def with_images(prompt):
    """The prompt with its image part at the start of the user's turn, whether TRL put one there or not."""
    messages = []
    for message in prompt:
        content = message["content"]
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
            if message["role"] == "user":
                content = [{"type": "image"}, *content]
        messages.append(message | {"content": content})
    return messages


if __name__ == "__main__":
    main()
