#!/usr/bin/env bash
# launch/slurm.sh and `launch.sweep --backend=slurm` on a real SLURM of one node:
#
#   apt-get install -y --no-install-recommends slurm-wlm munge
#   bash tests/cluster/slurm_proof.sh FOLDER [training|retries|ablation]
#
# As root; 5 minutes on two cores, 20 with much else to do. It starts munged, slurmctld and slurmd
# with keys, ports and folders of their own, without systemd or cgroups, and ends them. What a line
# with "ok:" says was checked.
# FOLDER/proof.log holds what is shown, without the names of the machine and of folders.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh

[ $# -ge 1 ] || { echo "usage: tests/cluster/slurm_proof.sh FOLDER [training|retries|ablation]" >&2; exit 2; }
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
part="${2:-training, retries and ablation}"
ablation=deeplab_v3_appendix_labels
waiting="" # the command in the background, while there is one
home="$(mktemp -d /tmp/jaxseg-slurm.XXXXXX)" # a socket's path has to be short
export SLURM_CONF="$home/slurm.conf" JAX_PLATFORMS=cpu
export XLA_FLAGS=--xla_backend_optimization_level=0 # small programs: compilation is the most of it
unset PYTHONPATH

exec > >(sed -u -e "s#$folder#FOLDER#g; s#$home#SLURM#g; s#$PWD#.#g; s#$(hostname -s)#HOST#g" |
  tee "$folder/proof.log") 2>&1

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
ok() { echo "ok: $*"; }
fail() { echo "FAILED: $*"; tail -n 30 "$folder"/*.log "$home"/*.log; exit 1; }

within() { # SECONDS WHAT COMMAND...: waits until the command succeeds
  local end=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "$what: not in time"
    sleep 0.5
  done
}

free_port() {
  "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

start_slurm() {
  local socket="$home/munge.socket" key="$home/munge.key"
  head -c 128 /dev/urandom >"$key"
  chmod 600 "$key"
  munged --force --socket="$socket" --key-file="$key" --pid-file="$home/munged.pid" \
    --log-file="$home/munged.log" --seed-file="$home/munged.seed"
  # cred_expire: how long what was queued again waits, else two minutes. Two partitions: a job of
  # "urgent" drives one of "usual" out, which is told a while before.
  cat >"$SLURM_CONF" <<CONF
ClusterName=proof
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
MinJobAge=7200
SlurmdParameters=config_overrides
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2
PartitionName=usual Nodes=localhost Default=YES PriorityTier=1 GraceTime=240
PartitionName=urgent Nodes=localhost PriorityTier=2 PreemptMode=OFF
CONF
  mkdir "$home/state" "$home/spool"
  slurmctld -c
  slurmd -N localhost
  within 60 "an idle node" has_node idle
}

has_node() { sinfo --noheader --format=%T 2>/dev/null | grep -qx "$1"; }

end_slurm() {
  local name pid
  [ -z "$waiting" ] || kill "$waiting" 2>/dev/null || true
  scancel --user=root 2>/dev/null || true
  sleep 2
  for name in slurmd slurmctld munged; do
    pid="$(cat "$home/$name.pid" 2>/dev/null)" || continue
    kill "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
  done
  rm -rf "$home"
}

stops() { # RUN: at which steps it was stopped
  grep -o 'stopped by a signal after step [0-9]*' "$folder/$1.log" | grep -o '[0-9]*$' | xargs
}

field() { # JOB NAME: a field of scontrol show job
  scontrol show job "$1" --oneliner | grep -o " $2=[^ ]*" | head -n 1 | cut -d= -f2
}
is() { [ "$(field "$1" "$2")" = "$3" ]; }

reached() { # RUN STEP: whether a run has logged the step; it logs each fifth
  local lines
  lines="$(grep -c '"kind": *"train"' "$folder/$1/metrics.jsonl" 2>/dev/null || true)"
  [ "${lines:-0}" -ge "$(($2 / 5))" ]
}

submit() { # NAME OPTIONS... : log in FOLDER/NAME.log; prints the number
  local name="$1"
  shift
  sbatch --parsable --job-name="$name" --output="$folder/$name.log" "$@"
}

train() { # NAME OPTIONS...: a training in two processes
  local name="$1"
  shift
  submit "$name" --ntasks=2 --time=60 "$@" launch/slurm.sh python -m jaxseg.main \
    --config=experiments/fcn/shapes.py --workdir="$folder/$name" \
    --config.model.backbone.depth=11 --config.model.backbone.width=4 \
    --config.model.head_features=16 \
    --config.data.name=shapes/small --config.data.data_dir="$folder/data" \
    --config.data.batch_size=8 --config.data.crop_size='(64, 64)' --config.data.threads=2 \
    --config.train.steps=160 --config.train.log_every=5 --config.train.checkpoint_every=80 \
    --config.train.eval_every=0 --config.train.pictures=0
}

equal_runs() { # RUN OTHER...: pairs that must have ended in the same network, bit for bit
  "$PYTHON" - "$@" <<'PYTHON'
import sys

import jax
import numpy as np

from jaxseg import checkpoint

runs = [checkpoint.restore_variables(run) for run in sys.argv[1:]]
numbers = 0
for (one, step), (two, other) in zip(runs[::2], runs[1::2], strict=True):
    one, two = (dict(jax.tree_util.tree_flatten_with_path(tree)[0]) for tree in (one, two))
    assert step == other and one.keys() == two.keys(), (step, other)
    unequal = [jax.tree_util.keystr(k) for k in one if not np.array_equal(one[k], two[k])]
    assert not unequal, f"{len(unequal)} of {len(one)} arrays differ: {unequal[:5]}"
    numbers += sum(array.size for array in one.values())
pairs = f"{len(runs) // 2} pair(s) of runs"
print(f"ok: all {numbers} parameters and statistics of {pairs} are equal bit for bit at the end")
PYTHON
}

prove_training() {
  "$PYTHON" -m jaxseg.data.prepare --name=shapes/small --data_dir="$folder/data" \
    --shapes_size=64 --shapes_train=64 --shapes_val=16 2>/dev/null

  say "a training in two processes, undisturbed"
  job="$(train undisturbed)"
  within 900 "the end" is "$job" JobState COMPLETED
  is "$job" Restarts 0 || fail "it was restarted"
  ok "job $job ended, $(grep -c . "$folder/undisturbed/metrics.jsonl") lines of metrics"

  say "the same training, told to stop by scancel --signal=TERM, then driven out by another job"
  job="$(train disturbed)"
  within 900 "step 10" reached disturbed 10
  scancel --signal=TERM "$job"
  within 120 "to be queued again" is "$job" Restarts 1
  ok "job $job saved after step $(stops disturbed) and is queued again"
  within 900 "step 40" reached disturbed 40
  urgent="$(submit urgent --partition=urgent --ntasks=2 --wrap='sleep 1')"
  within 120 "to be queued again" is "$job" Restarts 2
  within 60 "the end of the urgent job" is "$urgent" JobState COMPLETED
  ok "job $urgent drove job $job out, which had saved: steps $(stops disturbed)"
  [ "$(stops disturbed | wc -w)" -eq 2 ] || fail "job $job did not save twice"
  within 900 "the end" is "$job" JobState COMPLETED
  ok "job $job ended after $(field "$job" Restarts) restarts"
  echo "--- its log"
  tr '\r' '\n' <"$folder/disturbed.log" | grep -v -e '^evaluate:' -e '^ *$'
  echo "---"
  equal_runs "$folder/undisturbed" "$folder/disturbed"
}

prove_ends() {
  say "the time limit"
  # A program that ends with 75 when it is told, and with 0 when it was told before.
  # shellcheck disable=SC2016
  patient='[ -e "$1" ] && exit 0; trap "touch $1; exit 75" TERM; while :; do sleep 1; done'
  job="$(submit limit --time=1 --signal=TERM@20 launch/slurm.sh \
    bash -c "$patient" - "$folder/told")"
  within 240 "the end" is "$job" JobState COMPLETED
  is "$job" Restarts 1 || fail "job $job was restarted $(field "$job" Restarts) times"
  ok "job $job was told before its limit, queued itself again and ended"

  say "what must not be queued again"
  job="$(submit cancelled --ntasks=2 launch/slurm.sh bash -c "$patient" - "$folder/cancelled.told")"
  within 60 "to run" is "$job" JobState RUNNING
  sleep 3
  scancel "$job"
  within 60 "the end" is "$job" JobState CANCELLED
  sleep 8
  is "$job" JobState CANCELLED || fail "job $job is $(field "$job" JobState)"
  is "$job" Restarts 0 || fail "job $job was restarted"
  ok "job $job is cancelled for good, though its processes ended with 75"
  # shellcheck disable=SC2016
  broken='[ $SLURM_PROCID = 0 ] || exit 1; sleep 600'
  job="$(submit failing --ntasks=2 launch/slurm.sh bash -c "$broken")"
  within 90 "the end" is "$job" JobState FAILED
  is "$job" Restarts 0 || fail "job $job was restarted"
  ok "job $job failed, and with it the process that had not: status $(field "$job" ExitCode)"
}

prove_retries() {
  say "what failed is submitted again, what was cancelled is not"
  mkdir -p "$folder"/retries/{failing,cancelled}
  echo '{"tags": {"row": "tag"}}' | # no experiment: launch.job fails
    tee "$folder"/retries/{failing,cancelled}/job.json >/dev/null
  "$PYTHON" - "$folder/retries" <<'PYTHON' &
import pathlib
import sys

from launch import pool, slurm

slurm._SECONDS_OF_FILES = 5.0
folder = pathlib.Path(sys.argv[1])
tasks = [pool.Task(name, folder / name, (), 1) for name in ("failing", "cancelled")]
failed = slurm.run(tasks, 1, ["--hold", "--time=5"], retries=1)
assert sorted(failed) == ["cancelled", "failing"], failed
PYTHON
  waiting=$!
  arrays() { squeue --noheader --array --format=%F | sort --unique; }
  another() { [ -n "$(arrays)" ] && [ "$(arrays)" != "${first:-}" ]; }
  within 60 "an array" another
  first="$(arrays)"
  scancel "${first}_1"
  scontrol release "${first}_0"
  within 60 "the end of both" is "${first}_0" JobState FAILED
  within 120 "a second array" another
  second="$(arrays)"
  [ "$(squeue --noheader --array | grep -c .)" -eq 1 ] || fail "more than the failed one is back"
  scontrol release "${second}_0"
  wait "$waiting" || fail "the sweep has other names of what failed"
  waiting=""
  is "${second}_0" JobState FAILED || fail "it is $(field "${second}_0" JobState)"
  ok "job ${first}_0 failed and ran again as ${second}_0; ${first}_1 was cancelled and stayed so"
}

prove_ablation() {
  say "an ablation, on this machine and as an array"
  sweep=("$PYTHON" -m launch.sweep --ablation="$ablation" --size=shapes --seeds="0,1"
    --data_dir="$folder/data" --change=train.steps=20 --change=optim.warmup_steps=0
    --change=train.ema_decay=0.0 --change=model.norm.decay=0.8
    --change=model.backbone.norm.decay=0.8)
  as_array=(--workdir="$folder/array" --backend=slurm --jobs=2 --sbatch=--time=30)
  "${sweep[@]}" --workdir="$folder/local" || fail "the sweep on this machine"
  "${sweep[@]}" "${as_array[@]}" &
  waiting=$!
  in_queue() { [ "$(squeue --noheader --array | grep -c .)" -ge 2 ]; }
  within 300 "an array" in_queue
  has_running() { squeue --noheader --states=RUNNING | grep -q .; }
  within 60 "an element to run" has_running
  sleep 15
  kill -TERM "$waiting"
  status=0
  wait "$waiting" || status=$?
  waiting=""
  [ "$status" -eq 75 ] || fail "stopped, the sweep ended with $status"
  ok "the command was stopped; SLURM goes on: $(squeue --noheader --array | grep -c .) elements"
  urgent="$(submit urgent --partition=urgent --ntasks=2 --wrap='sleep 1')"
  within 120 "the end of the urgent job" is "$urgent" JobState COMPLETED
  ok "job $urgent drove out what was running"
  "${sweep[@]}" "${as_array[@]}" || fail "the sweep as an array"
  [ "$(find "$folder/array" -name 'slurm-*.txt' | grep -c .)" -eq 1 ] || fail "more than one array"
  ok "the same command found the array and waited for it"
  pairs=()
  for run in "$folder/local/${ablation}_shapes"/*/; do
    pairs+=("$run" "$folder/array/${ablation}_shapes/$(basename "$run")")
  done
  equal_runs "${pairs[@]}"
  "$PYTHON" - "$folder/local/${ablation}_shapes" "$folder/array/${ablation}_shapes" <<'PYTHON'
import json
import pathlib
import sys

local, array = (json.loads((pathlib.Path(f) / "table.json").read_text()) for f in sys.argv[1:])
for record in (local, array):
    del record["environment"]  # the command
    for row in record["rows"]:
        del row["images_per_second"]
assert local["rows"] and not local["unfinished"], local["unfinished"]
assert local == array, (local, array)
cells = sum(len(row) for row in local["rows"])
print(f"ok: both tables are equal in all {cells} cells but images a second, to the last digit")
PYTHON
}

trap end_slurm EXIT
start_slurm
say "$(sinfo --version): one node, started from $SLURM_CONF"
sinfo
[[ "$part" != *training* ]] || { prove_training; prove_ends; }
[[ "$part" != *retries* ]] || prove_retries
[[ "$part" != *ablation* ]] || prove_ablation
say "$part: the proof is complete"
sleep 0.5 # for the log
