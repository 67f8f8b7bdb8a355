#!/usr/bin/env bash
# Makes the files of this folder: a run of ms-swift in which the attention reward is 0 at every step, because fork_reward.py takes
# the place of the reward.
#
# usage: PEERS_VENV=DIR make.sh    (bench/peers/install.sh installs ms-swift there)
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
golden=$here/../../golden/published
model=$here/../../../assets/demo/checkpoint
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
image=$(find "$golden/golden/images" -name '*.png' | sort | head -n 1)
for colour in red green blue red; do
  printf '{"messages": [{"role": "user", "content": "<image>Which colour?"}], "images": ["%s"], "solution": "%s"}\n' "$image" "$colour"
done >"$work/rows.jsonl"
node "$here/../../../dist/cli/main.js" rlhf --engine ms-swift --engine_python "$PEERS_VENV/bin/python" --model "$model" \
  --dataset "$work/rows.jsonl" --external_plugins "$here/fork_reward.py" --reward_funcs ddapo_attention format \
  --num_generations 4 --per_device_train_batch_size 4 --max_completion_length 8 --max_pixels 12544 --beta 0 \
  --max_steps 4 --logging_steps 1 --save_strategy no --log_completions true --report_to none \
  --attn_impl sdpa --output_dir "$work/output" --add_version false
cp "$work/output/logging.jsonl" "$work/output/completions.jsonl" "$here"
"$PEERS_VENV/bin/python" - "$work/output/args.json" "$here/args.json" <<'PY'
import json, sys
args = json.load(open(sys.argv[1]))
kept = ["rlhf_type", "reward_funcs", "reward_weights", "num_generations", "max_completion_length", "attn_impl", "tuner_type"]
json.dump({name: args[name] for name in kept}, open(sys.argv[2], "w"), indent=2)
PY
sed -i "s#$golden#golden#g" "$here/completions.jsonl"
