#!/usr/bin/env bash
# Rebuilds the embedded demo checkpoint from a seed: draws supervised rows, trains the tokenizer, writes random
# weights, trains all of them (vision tower included) with `sightline sft`, and packs the result as bfloat16.
# Takes about 5 minutes on two free cores. When stopped (Ctrl-C, kill), it ends the running command, removes its temporary
# folder and exits with 130 (SIGINT), 143 (SIGTERM) or 129 (SIGHUP). TARGET is then complete or absent.
#
# usage: make_checkpoint.sh [FLAG VALUE ...]        flags for `sightline sft`; they override the ones below
#   SEED    of data, tokenizer, weights and training  (0)
#   WORK    folder for intermediate files             (a temporary one, removed at the end; about 260 MB)
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

# Asks the running command to end. Its first signal ends it cleanly, its second one immediately.
end_running() {
  local pid
  for pid in $(jobs -p); do kill -TERM "$pid" 2>/dev/null || true; done
}

# stop SIGNAL CODE: ends the running command and waits until nothing writes any more.
stop() {
  trap end_running INT TERM HUP
  local pid pids
  pids=$(jobs -p)
  end_running
  while [[ -n $(jobs -pr) ]]; do wait 2>/dev/null || true; done
  # Removes what a writer of TARGET left next to it if it ended immediately.
  for pid in $pids; do rm -rf -- "$(dirname -- "$TARGET")/.$(basename -- "$TARGET").partial-$pid-"*; done
  if [[ -e $TARGET ]]; then echo "$1: stopped; $TARGET is complete" >&2; else echo "$1: stopped; $TARGET was not written" >&2; fi
  exit "$2"
}
trap 'stop SIGINT 130' INT
trap 'stop SIGTERM 143' TERM
trap 'stop SIGHUP 129' HUP

# sightline ARGUMENT...: replaces the function of prepare.sh. bash runs a trap only between commands and in `wait`, so the
# command runs in the background. It has its own process group (set -m), so that Ctrl-C reaches it only through `stop`.
sightline() {
  local status=0
  set -m
  node "$root/dist/cli/main.js" "$@" </dev/null &
  set +m
  wait "$!" || status=$?
  return "$status"
}

prepare_sightline "$root"
if [[ -z ${WORK:-} ]]; then
  WORK=$(mktemp -d)
  trap 'rm -rf -- "$WORK"' EXIT
fi

batch=32
steps=300
echo "making $TARGET: $((batch * steps)) rows, then $steps steps of training; about 5 minutes on two free cores" >&2
demo_data sft $((batch * steps)) "$SEED" "$WORK/sft/data.jsonl"
[[ -f $WORK/initial/config.json ]] || sightline demo checkpoint --seed "$SEED" --output_dir "$WORK/initial"

rm -rf -- "$WORK/run"
echo "training (the log lines show the remaining time)" >&2
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

# The last checkpoint, whatever --max_steps is.
last=$(find "$WORK/run" -maxdepth 1 -type d -name 'checkpoint-*' | sort -V | tail -n 1)
if [[ -z $last ]]; then
  echo "error: the training left no checkpoint in $WORK/run" >&2
  exit 1
fi
mkdir -p -- "$(dirname -- "$TARGET")"
sightline demo pack --model "$last" --output_dir "$TARGET"
echo "wrote $TARGET"
