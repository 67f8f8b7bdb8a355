#!/usr/bin/env bash
# GRPO with the DDAPO attention reward, from a fresh clone to a summary: installs, builds, draws the demo data, trains.
#
# usage: run_grpo_with_ddapo.sh [FLAG VALUE ...]
#   Flags are those of `sightline rlhf` (see its --help); they come last, so they override the ones below.
#   Environment variables override the main settings:
#     MODEL           checkpoint folder, or its name           (the embedded demo checkpoint)
#     DATASET         JSONL rows to train on                   (drawn into OUTPUT_DIR/demo_data/grpo)
#     VAL_DATASET     JSONL rows to evaluate on                (drawn into OUTPUT_DIR/demo_data/eval)
#     OUTPUT_DIR      folder of the runs                       (./output)
#     SYSTEM          system prompt, text or file              (prompt.txt next to this script)
#     REWARD_WEIGHTS  attention, accuracy and format weight    (1 4 1)
#   DDAPO_REWARD_CENTER=1 and DDAPO_GROUP_NORM=1 choose the other two forms of the attention reward.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../../.." && pwd -P)
. "$here/prepare.sh"
prepare_sightline "$root"

MODEL=${MODEL:-$root/assets/demo/checkpoint}
OUTPUT_DIR=${OUTPUT_DIR:-output}
SYSTEM=${SYSTEM:-$here/prompt.txt}
REWARD_WEIGHTS=${REWARD_WEIGHTS:-1 4 1}
read -r -a reward_weights <<<"$REWARD_WEIGHTS"

if [[ -z ${DATASET:-} ]]; then
  DATASET=$OUTPUT_DIR/demo_data/grpo/data.jsonl
  demo_data grpo 320 0 "$DATASET"
  # The held-out rows belong to the demo data; for other data, set VAL_DATASET or train without evaluation.
  if [[ -z ${VAL_DATASET:-} ]]; then
    VAL_DATASET=$OUTPUT_DIR/demo_data/eval/data.jsonl
    demo_data eval 200 1 "$VAL_DATASET"
  fi
fi

evaluation=()
if [[ -n ${VAL_DATASET:-} ]]; then
  evaluation=(
    --val_dataset "$VAL_DATASET"
    --eval_strategy steps
    --eval_steps 20
    --eval_on_start true
    --num_generations_eval 1
    --eval_temperature 0
    --per_device_eval_batch_size 64
  )
fi

# 8 prompts x 8 completions per step; per_device_train_batch_size counts completions.
flags=(
  --rlhf_type grpo
  --model "$MODEL"
  --tuner_type full
  --freeze_vit true
  --freeze_aligner true
  --external_plugins "$here/plugin/plugin.ts"
  --reward_funcs ddapo_attention external_r1v_acc format
  --reward_weights "${reward_weights[@]}"
  --dataset "$DATASET"
  --system "$SYSTEM"
  --num_generations 8
  --per_device_train_batch_size 64
  --gradient_accumulation_steps 1
  --max_completion_length 32
  --temperature 1.0
  --loss_type grpo
  --importance_sampling_level token
  --epsilon 0.2
  --epsilon_high 0.28
  --beta 0
  --learning_rate 3e-5
  --lr_scheduler_type constant_with_warmup
  --warmup_steps 5
  --adam_beta1 0.9
  --adam_beta2 0.95
  --weight_decay 0
  --max_grad_norm 1
  --max_steps 40
  --save_steps 40
  --logging_steps 1
  --log_completions true
  --report_to tensorboard
  --output_dir "$OUTPUT_DIR"
)

exec node "$root/dist/cli/main.js" rlhf "${flags[@]}" ${evaluation[@]+"${evaluation[@]}"} "$@"
