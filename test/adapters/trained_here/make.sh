#!/usr/bin/env bash
# Trains a small adapter on golden checkpoints with `sightline sft`, and lets PEFT compute their logits.
# usage: make.sh PYTHON       with a Python that has torch, transformers and peft; after npm run build
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
sightline() { node "$root/dist/cli/main.js" "$@"; }
for name in published nested_tied qwen3_vl; do
  golden=$root/test/golden/$name
  more=()
  [[ $name == nested_tied ]] && more=(--modules_to_save embed_tokens norm --lora_dropout 0.1)
  [[ $name == qwen3_vl ]] && more=(--target_modules q_proj v_proj qkv linear_fc2 lm_head)
  cat >"$work/rows.jsonl" <<ROWS
{"messages":[{"role":"user","content":"<image>What is this?"},{"role":"assistant","content":"A red square"}],"images":["$golden/golden/images/a.png"]}
{"messages":[{"role":"user","content":"<image>Say more"},{"role":"assistant","content":"blue circle there"}],"images":["$golden/golden/images/b.png"]}
ROWS
  (cd "$golden" && sightline sft --model model --dataset "$work/rows.jsonl" --tuner_type lora --freeze_vit false \
    --freeze_aligner false --lora_rank 2 --lora_alpha 4 --use_rslora true --learning_rate 1e-2 --max_steps 6 \
    --gradient_accumulation_steps 1 --per_device_train_batch_size 2 --max_pixels 12544 --report_to none \
    --save_only_model true --output_dir "$work/$name" --add_version false "${more[@]}")
  mkdir -p "$here/$name"
  cp "$work/$name/checkpoint-6/"adapter_{config.json,model.safetensors} "$here/$name/"
  sed -i 's/"base_model_name_or_path": ".*"/"base_model_name_or_path": "model"/' "$here/$name/adapter_config.json"
  sightline export --model "$golden/model" --adapters "$here/$name" --merge_lora true --torch_dtype float32 \
    --output_dir "$work/$name-merged"
  "$1" "$here/peft_logits.py" "$golden/model" "$golden/golden" "$here/$name" "$work/$name-merged"
done
