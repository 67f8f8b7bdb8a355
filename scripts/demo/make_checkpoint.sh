#!/usr/bin/env bash
# Makes the embedded demo checkpoint again, from a seed: draws supervised rows, trains the tokenizer, writes random
# weights, runs `sightline sft` on all of them (vision tower included) and packs the result as bfloat16.
#
# usage: make_checkpoint.sh [FLAG VALUE ...]        flags for `sightline sft`; they win over the ones below
#   SEED    of data, tokenizer, weights and training  (0)
#   WORK    folder for what is made on the way        (a temporary one, removed at the end; about 260 MB)
#   TARGET  folder of the checkpoint                  (assets/demo/checkpoint; must not exist)
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
. "$root/examples/train/grpo/prepare.sh"

SEED=${SEED:-0}
TARGET=${TARGET:-$root/assets/demo/checkpoint}
if [[ -e $TARGET ]]; then
  echo "error: the target exists: $TARGET" >&2
  echo "  fix: remove it, or set TARGET to another folder" >&2
  exit 2
fi
prepare_sightline "$root"
if [[ -z ${WORK:-} ]]; then
  WORK=$(mktemp -d)
  trap 'rm -rf -- "$WORK"' EXIT
fi

batch=32
steps=300
demo_data sft $((batch * steps)) "$SEED" "$WORK/sft/data.jsonl"
[[ -f $WORK/initial/config.json ]] || sightline demo checkpoint --seed "$SEED" --output_dir "$WORK/initial"

rm -rf -- "$WORK/run"
sightline sft \
  --model "$WORK/initial" \
  --dataset "$WORK/sft/data.jsonl" \
  --system "$root/examples/train/grpo/prompt.txt" \
  --tuner_type full \
  --freeze_llm false \
  --freeze_vit false \
  --freeze_aligner false \
  --learning_rate 2e-3 \
  --lr_scheduler_type cosine_with_min_lr \
  --lr_scheduler_kwargs '{"min_lr_rate": 0.1}' \
  --warmup_steps 50 \
  --adam_beta1 0.9 \
  --adam_beta2 0.95 \
  --weight_decay 0.01 \
  --max_grad_norm 1 \
  --per_device_train_batch_size "$batch" \
  --gradient_accumulation_steps 1 \
  --max_steps "$steps" \
  --save_steps "$steps" \
  --save_only_model true \
  --logging_steps 10 \
  --seed "$SEED" \
  --output_dir "$WORK/run" \
  --add_version false \
  "$@"

# The last one, whatever --max_steps was.
last=$(find "$WORK/run" -maxdepth 1 -type d -name 'checkpoint-*' | sort -V | tail -n 1)
if [[ -z $last ]]; then
  echo "error: the training left no checkpoint in $WORK/run" >&2
  exit 1
fi
mkdir -p -- "$(dirname -- "$TARGET")"
sightline demo pack --model "$last" --output_dir "$TARGET"
echo "wrote $TARGET"
