#!/usr/bin/env bash
# N processes of one run on this machine: bash launch/local.sh --help
set -uo pipefail

STOPPED=75 # saved after a signal: jaxseg.train.STOPPED

usage() {
  cat <<'END'
usage: bash launch/local.sh [--gpus=N] [--grace=SECONDS] PROCESSES COMMAND [ARGUMENTS]

Starts COMMAND the given number of times, each with --coordinator, --processes and --process added,
which the processes of one run need to find each other. From the root of the checkout:

    bash launch/local.sh 2 .venv/bin/python -m jaxseg.main \
        --config=experiments/quickstart.py --workdir=runs/quickstart

  --gpus=N         number of GPUs to distribute over the processes; by default all that
                   CUDA_VISIBLE_DEVICES or nvidia-smi lists, or none if JAX_PLATFORMS is cpu
  --grace=SECONDS  time between asking the others to stop after a failure and killing them; 30

The output of process 0 is shown unchanged, that of the others with [1], [2] .. before each line.
SIGTERM and SIGINT (Ctrl-C) are passed on as SIGTERM: a training saves and ends with 75. The second
signal kills. If a process fails, the others are ended too, since they would wait for it.

Exit status: 0 if all succeeded; 75 if all were stopped and have saved; otherwise that of the first
that failed; 2 for a wrong argument.
END
}

refuse() {
  echo "local.sh: $* (--help)" >&2
  exit 2
}

free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000)) # below the ports that Linux assigns to outgoing connections
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# Prints the GPUs to distribute, one per line.
gpus_here() {
  if [ -n "$gpus" ]; then
    seq 0 $((gpus - 1))
  elif [ "${JAX_PLATFORMS:-}" = cpu ]; then
    return
  elif [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then
    tr , '\n' <<<"$CUDA_VISIBLE_DEVICES"
  elif command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null
  fi
}

with_number() {
  trap '' INT TERM # also show the output while stopping
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    printf '[%s] %s\n' "$1" "$line"
  done
}

gpus="" grace=30
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --gpus=*) gpus="${1#*=}" ;;
    --grace=*) grace="${1#*=}" ;;
    -*) refuse "$1 is unknown" ;;
    *) break ;;
  esac
  shift
done
[ $# -ge 2 ] || refuse "the number of processes and a command are required"
processes="$1"
shift
[[ "$processes" =~ ^[1-9][0-9]*$ ]] || refuse "the number of processes is '$processes': 1 or more"
[[ "$gpus" =~ ^[0-9]*$ ]] || refuse "--gpus=$gpus: it must be a whole number"
[[ "$grace" =~ ^[0-9]+$ ]] || refuse "--grace=$grace: it must be a whole number of seconds"
mapfile -t devices < <(gpus_here)
if ((${#devices[@]} % processes)); then
  refuse "${#devices[@]} GPUs cannot be divided equally among $processes processes: set --gpus"
fi

declare -A running=() # number -> process id
tell() { # SIGNAL
  local pid
  for pid in "${running[@]}"; do
    kill "-$1" "$pid" 2>/dev/null
  done
}
# A signal that arrives while the processes are being started is passed on once all of them are.
started="" early="" told=""
# shellcheck disable=SC2329 # the trap calls it
stop() {
  if [ -z "$started" ]; then
    early=yes
  elif [ -n "$told" ]; then
    tell KILL
  else
    told=yes
    tell TERM
  fi
}
trap stop INT TERM

port="$(free_port)"
share=$((${#devices[@]} / processes))
readers=()
for ((i = 0; i < processes; i++)); do
  flags=("--coordinator=127.0.0.1:$port" "--processes=$processes" "--process=$i")
  if ((share)); then
    own="$(IFS=,; echo "${devices[*]:i*share:share}")"
    export CUDA_VISIBLE_DEVICES="$own"
  fi
  if ((i)); then
    exec {output}> >(with_number "$i")
    readers+=("$!")
    "$@" "${flags[@]}" >&"$output" 2>&1 &
    running[$i]=$!
    exec {output}>&-
  else
    "$@" "${flags[@]}" &
    running[$i]=$!
  fi
done
started=yes
if [ -n "$early" ]; then
  stop
fi

result=0 deadline=""
while ((${#running[@]})); do
  for i in "${!running[@]}"; do
    pid="${running[$i]}"
    if kill -0 "$pid" 2>/dev/null; then
      continue
    fi
    wait "$pid"
    status=$?
    unset "running[$i]"
    if ((status == 0)); then
      continue
    fi
    if ((status == STOPPED)); then
      ((result)) || result=$STOPPED # the others received the signal as well, and are saving
    elif ((result == 0 || result == STOPPED)); then
      result=$status
      if [ -z "$told" ] && ((${#running[@]})); then
        echo "local.sh: process $i ended with $status: the others are asked to stop" >&2
        tell TERM
      fi
      deadline=$((SECONDS + grace))
    fi
  done
  if [ -n "$deadline" ] && ((SECONDS > deadline && ${#running[@]})); then
    echo "local.sh: killing processes that have not stopped $grace s after the failure" >&2
    tell KILL
    deadline=""
  fi
  sleep 0.2
done
for reader in "${readers[@]:-}"; do
  wait "$reader" 2>/dev/null
done
exit "$result"
