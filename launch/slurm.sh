#!/usr/bin/env bash
#SBATCH --job-name=jaxseg
#SBATCH --signal=TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
# One run, or each run of a list, on SLURM; after a preemption or the time limit it requeues itself.
#
# Once, on a machine with network access:
#   bash -c '. launch/environment.sh; environment_ready requirements.txt'
# One process per node, with all GPUs of the node:
#   sbatch --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 --time=240 launch/slurm.sh \
#     python -m jaxseg.main --config=experiments/deeplab_v3/voc.py --workdir=runs/v3
# One process per GPU:
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --time=240 launch/slurm.sh python ...
# A list of run folders, one per line, each with the job.json of launch.sweep, four at a time:
#   sbatch --array=0-9%4 --gpus-per-node=1 --time=60 launch/slurm.sh --folders=FILE
# (`python -m launch.sweep --backend=slurm` writes the list and submits this.)
#
# A minute before the time limit, and at a preemption, SLURM sends SIGTERM to the processes. They
# save and end with 75, and the same job is requeued with its number and its log. --time is
# therefore the length of one piece, not of the whole run; it should be well above a minute.
# `scancel JOB` ends the job for good. If a process fails, the others and the job end too, with 255;
# see the log for the reason. Submit from the root of the checkout. The options of sbatch above can
# be overridden.
set -euo pipefail

fail() {
  echo "jaxseg: $*" >&2
  exit 1
}

[ -n "${SLURM_JOB_ID:-}" ] || fail "launch/slurm.sh is for sbatch: see its first lines"
cd "$SLURM_SUBMIT_DIR" # $0 is a copy that SLURM made
[ -f launch/environment.sh ] || fail "$PWD is not the root of the checkout: submit from there"
. launch/environment.sh
[ -x "$PYTHON" ] ||
  fail "there is no .venv: create it as described at the top of launch/slurm.sh"
PATH="$(dirname "$PYTHON"):$PATH"
[ $# -gt 0 ] || fail "no command: see the top of launch/slurm.sh"

# For one element of an array, SLURM_JOB_ID may refer to all of them.
job="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
job="${job:-$SLURM_JOB_ID}"

if [[ "$1" == --folders=* ]]; then
  list="${1#--folders=}"
  [ -n "${SLURM_ARRAY_TASK_ID:-}" ] || fail "$1 is for sbatch --array=0-N"
  folder="$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$list")"
  [ -d "$folder" ] || fail "line $((SLURM_ARRAY_TASK_ID + 1)) of $list is not a folder: '$folder'"
  exec >>"$folder/log.txt" 2>&1
  set -- python -m launch.job "$folder"
fi

# By default, JAX gives each process under SLURM the one GPU with its number on the node.
on_node="${SLURM_GPUS_ON_NODE:-0}" per_task="${SLURM_GPUS_PER_TASK:-}"
tasks_on_node="${SLURM_TASKS_PER_NODE:-1}"
tasks_on_node="${tasks_on_node%%[(,]*}" # "8(x2)"
if [ -n "$per_task" ]; then
  JAX_LOCAL_DEVICE_IDS="$(seq -s, 0 $((${per_task##*:} - 1)))" # it sees no others
  export JAX_LOCAL_DEVICE_IDS
elif [ "$on_node" -gt 0 ] && [ "$tasks_on_node" -eq 1 ]; then
  JAX_LOCAL_DEVICE_IDS="$(seq -s, 0 $((on_node - 1)))"
  export JAX_LOCAL_DEVICE_IDS
elif [ "$on_node" -gt 0 ] && [ "$tasks_on_node" -ne "$on_node" ]; then
  fail "$tasks_on_node processes and $on_node GPUs on a node: ask for one process per node, or" \
    "for one per GPU (--ntasks-per-node=$on_node)"
fi
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK" # 22.05 on

# srun ends with the highest status of its tasks. A failure must take precedence over the 143 of
# tasks that were ended because of it, or the job would be requeued forever.
# shellcheck disable=SC2016
task='trap : TERM; "$@" || case $? in 75) exit 75 ;; 143) exit 143 ;; *) exit 255 ;; esac'
status=0
srun --kill-on-bad-exit=1 bash -c "$task" task "$@" || status=$?

# 75: saved. 143: ended by the signal with nothing to save, as before the first step.
if [ "$status" -eq 75 ] || [ "$status" -eq 143 ]; then
  state="$(squeue --noheader --jobs="$job" --format=%T)" || state=unknown
  if [ "$state" = RUNNING ]; then
    echo "ended with $status after a signal; job $job is requeued"
    scontrol requeue "$job" || fail "job $job could not be queued again; submit it once more"
  else # cancelled, or SLURM requeues it itself
    echo "ended with $status after a signal; job $job is $state and is not requeued here"
  fi
fi
exit "$status"
