#!/usr/bin/env bash
# Trains the arms of the demo's comparison over several seeds on the same rows, then prints one table.
#
# usage: compare_arms.sh [FLAG VALUE ...]           flags for every run of `sightline rlhf`
#   OUTPUT_DIR  folder of the runs                   (./output/arms); finished runs are kept, so the comparison can be resumed
#   SEEDS       seeds of sampling and row order      (0 1 2)
#   ARMS        a selection of the arms below        (all)
#   EVAL_STEPS  steps between evaluations            (5)
#   MODEL, SYSTEM as in run_grpo_with_ddapo.sh
#
# Every arm computes the attention reward, so that the text-dominance ratio is measured. The arms differ in its weight.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd -- "$here/../../.." && pwd -P)
. "$here/prepare.sh"
prepare_sightline "$root"

OUTPUT_DIR=${OUTPUT_DIR:-output/arms}
ARMS=${ARMS:-none plain_1 plain_40 group_0.25 group_1}
SEEDS=${SEEDS:-0 1 2}
EVAL_STEPS=${EVAL_STEPS:-5}
read -r -a arms <<<"$ARMS"
read -r -a seeds <<<"$SEEDS"

export DATASET=$OUTPUT_DIR/demo_data/grpo/data.jsonl
export VAL_DATASET=$OUTPUT_DIR/demo_data/eval/data.jsonl
demo_data grpo 320 0 "$DATASET"
demo_data eval 200 1 "$VAL_DATASET"

# Sets the form and the weight of the attention reward. Accuracy has weight 4 and format weight 1 in all arms.
use_arm() {
  export DDAPO_REWARD_CENTER=0
  case $1 in
    none) export DDAPO_GROUP_NORM=0 REWARD_WEIGHTS='0 4 1' ;;
    plain_1) export DDAPO_GROUP_NORM=0 REWARD_WEIGHTS='1 4 1' ;;
    plain_40) export DDAPO_GROUP_NORM=0 REWARD_WEIGHTS='40 4 1' ;;
    group_0.25) export DDAPO_GROUP_NORM=1 REWARD_WEIGHTS='0.25 4 1' ;;
    group_1) export DDAPO_GROUP_NORM=1 REWARD_WEIGHTS='1 4 1' ;;
    *)
      echo "error: no arm \"$1\"" >&2
      echo "  fix: choose from none plain_1 plain_40 group_0.25 group_1" >&2
      exit 2
      ;;
  esac
}

# The last record of a run says how it ended. A run that was stopped is repeated.
is_finished() {
  [[ -f $1/logging.jsonl ]] && tail -n 1 -- "$1/logging.jsonl" | grep -q '"status":"completed"'
}

for arm in "${arms[@]}"; do use_arm "$arm"; done
for seed in "${seeds[@]}"; do
  for arm in "${arms[@]}"; do
    run=$OUTPUT_DIR/$arm/seed-$seed
    is_finished "$run" && continue
    use_arm "$arm"
    echo "== $arm, seed $seed" >&2
    rm -rf -- "$run"
    OUTPUT_DIR=$run bash "$here/run_grpo_with_ddapo.sh" \
      --add_version false --seed "$seed" --data_seed "$seed" --eval_steps "$EVAL_STEPS" --save_only_model true "$@"
  done
done

sightline demo summarise --runs "$OUTPUT_DIR" --arms "${arms[@]}"
