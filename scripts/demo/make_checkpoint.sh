#!/usr/bin/env bash
# Makes the embedded demo checkpoint again, from a seed: draws supervised rows, trains the tokenizer, writes random
# weights, runs `sightline sft` on all of them (vision tower included) and packs the result as bfloat16.
# Takes some 5 minutes on two free cores. Stopped (Ctrl-C, kill), it ends what runs and removes its temporary folder; TARGET is
# whole or not there. It exits with 130 (SIGINT), 143 (SIGTERM) or 129 (SIGHUP) then.
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

# Asks the command that runs to end: the first time in good order, the second time at once.
end_running() {
  local pid
  for pid in $(jobs -p); do kill -TERM "$pid" 2>/dev/null || true; done
}

# stop SIGNAL CODE: ends the command that runs and waits until nothing writes any more.
stop() {
  trap end_running INT TERM HUP
  local pid pids
  pids=$(jobs -p)
  end_running
  while [[ -n $(jobs -pr) ]]; do wait 2>/dev/null || true; done
  # What a writer of TARGET that quit at once has left beside it.
  for pid in $pids; do rm -rf -- "$(dirname -- "$TARGET")/.$(basename -- "$TARGET").partial-$pid-"*; done
  if [[ -e $TARGET ]]; then echo "$1: stopped; $TARGET is complete" >&2; else echo "$1: stopped; $TARGET is not made" >&2; fi
  exit "$2"
}
trap 'stop SIGINT 130' INT
trap 'stop SIGTERM 143' TERM
trap 'stop SIGHUP 129' HUP

# sightline ARGUMENT...: in place of the one of prepare.sh. bash runs a trap only between commands and while it waits, so the
# command runs beside it; in a process group of its own (set -m), so that Ctrl-C reaches it once, through `stop`.
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
echo "making $TARGET: $((batch * steps)) rows, then $steps steps of training; some 5 minutes on two free cores" >&2
demo_data sft $((batch * steps)) "$SEED" "$WORK/sft/data.jsonl"
[[ -f $WORK/initial/config.json ]] || sightline demo checkpoint --seed "$SEED" --output_dir "$WORK/initial"

rm -rf -- "$WORK/run"
echo "training (its lines say how much time remains)" >&2
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
