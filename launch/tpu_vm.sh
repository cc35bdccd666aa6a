#!/usr/bin/env bash
# One run on all workers of a TPU VM: bash launch/tpu_vm.sh --help
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

STOPPED=75 # saved after a signal: jaxseg.train.STOPPED
LONG=600   # seconds; a failure after a run of this length counts as the first
MOST_WAITS=30

usage() {
  cat <<'END'
usage: bash launch/tpu_vm.sh --name=NAME --zone=ZONE [OPTIONS] -- COMMAND [ARGUMENTS]

Copies this checkout to ~/jaxseg on every worker, creates its .venv there, and runs COMMAND in it on
all workers at once; JAX discovers the other workers:

    bash launch/tpu_vm.sh --name=seg --zone=us-central2-b --create=v4-32 --spot \
        --setup='mkdir -p ~/shared && sudo mount 10.0.0.2:/share ~/shared' -- \
        .venv/bin/python -m jaxseg.main --coordinator=auto --config=experiments/deeplab_v3/voc.py \
        --config.data.data_dir=../shared/data --workdir=../shared/runs/v3

  --create=TYPE       accelerator type; the TPU VM is created if it is missing, and again when it
                      was preempted; otherwise an existing TPU VM is used, and never deleted
  --version=RUNTIME   with --create: software of the workers; default tpu-ubuntu2204-base
  --spot              with --create: cheaper, but may be preempted
  --delete            with --create: delete the TPU VM when COMMAND has succeeded
  --project=PROJECT   replaces the project of the gcloud configuration
  --setup=COMMAND     run on every worker after the copy, once for each TPU VM: mounts, packages
  --requirements=FILE of the .venv; requirements/tpu.txt. Python 3.11 to 3.13 must be on the workers
                      (--setup can install it; the name of another goes into JAXSEG_PYTHON)
  --retries=N         failures in a row, each within 10 minutes, before giving up; 3
  --recreations=N     times that a TPU VM is recreated, or tried to; 50
  --wait=SECONDS      before each of those; 60
  --dry_run           print the gcloud commands and run none

Data and run folder must be on storage that every worker mounts and that outlives the TPU VM; then
COMMAND, which is run again unchanged, resumes from its newest checkpoint. SIGTERM and SIGINT
(Ctrl-C) ask the workers to save and stop; the second signal ends this script and leaves them
running.

Exit status: 0 if done; 75 if stopped by a signal; 1 if it gave up; 2 for a wrong argument.
END
}

refuse() {
  echo "tpu_vm.sh: $* (--help)" >&2
  exit 2
}

say() { echo "tpu_vm.sh: $*" >&2; }

give_up() {
  say "$*"
  exit 1
}

name="" zone="" create="" version=tpu-ubuntu2204-base spot="" delete="" project="" setup=""
requirements=requirements/tpu.txt retries=3 recreations=50 wait=60 dry_run=""
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --name=*) name="${1#*=}" ;;
    --zone=*) zone="${1#*=}" ;;
    --create=*) create="${1#*=}" ;;
    --version=*) version="${1#*=}" ;;
    --spot) spot=yes ;;
    --delete) delete=yes ;;
    --project=*) project="${1#*=}" ;;
    --setup=*) setup="${1#*=}" ;;
    --requirements=*) requirements="${1#*=}" ;;
    --retries=*) retries="${1#*=}" ;;
    --recreations=*) recreations="${1#*=}" ;;
    --wait=*) wait="${1#*=}" ;;
    --dry_run) dry_run=yes ;;
    --) shift && break ;;
    *) refuse "$1 is unknown; give the command after --" ;;
  esac
  shift
done
[ -n "$name" ] && [ -n "$zone" ] || refuse "--name and --zone are required"
[ $# -ge 1 ] || refuse "a command is required after --"
[ -n "$create" ] || [ -z "$spot$delete" ] || refuse "--spot and --delete need --create=TYPE"
for number in "$retries" "$recreations" "$wait"; do
  [[ "$number" =~ ^[0-9]+$ ]] || refuse "$number: --retries, --recreations, --wait are whole numbers"
done
for word in "$name" "$zone" "$create" "$version" "$project"; do # they become part of command lines
  [[ "$word" =~ ^([A-Za-z0-9][A-Za-z0-9.:_-]*)?$ ]] ||
    refuse "'$word' is not a name of Google Cloud: letters, digits, . : _ - and no others"
done
[ -f "$requirements" ] || refuse "--requirements=$requirements: no such file"
[ -n "$dry_run" ] || command -v gcloud >/dev/null 2>&1 || give_up "gcloud is not installed"

where=("--zone=$zone")
[ -z "$project" ] || where+=("--project=$project")

tpu() { # VERB [ARGUMENTS]
  if [ -n "$dry_run" ]; then
    printf 'gcloud compute tpus tpu-vm'
    printf ' %q' "$@" "${where[@]}"
    printf '\n'
  else
    gcloud compute tpus tpu-vm "$@" "${where[@]}" </dev/null
  fi
}

on_all() { # COMMAND
  tpu ssh "$name" --worker=all --command="$1"
}

# READY, PREEMPTED, STOPPED .. as in Google Cloud; MISSING; UNKNOWN if gcloud fails otherwise.
state() {
  local said
  if [ -n "$dry_run" ]; then
    if [ -n "$create" ]; then echo MISSING; else echo READY; fi
  elif said="$(tpu describe "$name" '--format=value(state)' 2>&1)"; then
    tail -n 1 <<<"$said"
  elif grep -qiE 'NOT_FOUND|not found' <<<"$said"; then
    echo MISSING
  else
    echo "$said" >&2
    echo UNKNOWN
  fi
}

make() {
  local options=("--accelerator-type=$create" "--version=$version")
  [ -z "$spot" ] || options+=(--spot)
  say "creating $name, $create in $zone"
  tpu create "$name" "${options[@]}"
}

# The files that git tracks or would track, in their current state.
pack() { # FILE
  local path
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' path; do
    [ ! -e "$path" ] || printf '%s\0' "$path"
  done | tar --null --no-recursion -T - -czf "$1"
}

prepare() {
  local parcel
  parcel="$(mktemp -d)/jaxseg.tar.gz"
  [ -n "$dry_run" ] || pack "$parcel" || return
  say "copying the checkout to all workers"
  tpu scp "$parcel" "$name:jaxseg.tar.gz" --worker=all || return
  rm -rf "$(dirname "$parcel")"
  on_all 'mkdir -p jaxseg && tar -xzf jaxseg.tar.gz -C jaxseg' || return
  [ -z "$setup" ] || on_all "$setup" || return
  on_all "cd jaxseg && . launch/environment.sh && environment_ready $(printf %q "$requirements")"
}

# Whether the command of this checkout that was last started on a worker is still running.
# shellcheck disable=SC2016 # variables are the worker's
OF_LAST='pid="$(cat .pid 2>/dev/null)"; [ "$(readlink "/proc/$pid/cwd")" = "$(pwd -P)" ]'
# Prints what runs COMMAND on a worker, once an earlier one with a lost connection has ended.
remote() { # COMMAND [ARGUMENTS]
  local quoted
  printf -v quoted ' %q' "$@"
  # shellcheck disable=SC2016 # variables are the worker's
  printf 'cd jaxseg && if %s; then kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 1; done; fi; echo $$ >.pid && exec%s' \
    "$OF_LAST" "$quoted"
}

stopping=""
# shellcheck disable=SC2329 # the trap calls it
stop() {
  [ -z "$stopping" ] || exit "$STOPPED"
  stopping=yes
  say "asking the workers to save and stop"
  # shellcheck disable=SC2016 # variables are the worker's
  on_all "cd jaxseg && if $OF_LAST"'; then kill "$pid"; fi'
}
trap stop INT TERM

# In the background, so that a signal is handled at once.
attend() { # COMMAND [ARGUMENTS]
  "$@" &
  local child=$!
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
  done
  wait "$child"
}

pause() {
  [ -n "$dry_run" ] || attend sleep "$wait"
  [ -z "$stopping" ] || exit "$STOPPED"
}

prepared="" made=0 waits=0 failures=0
while true; do
  now="$(state)"
  case "$now" in
    READY) waits=0 ;;
    CREATING | STARTING | RESTARTING | REPAIRING | DELETING | UNKNOWN)
      ((waits++ < MOST_WAITS)) || give_up "$name stays $now"
      prepared="" # mounts are lost in a repair
      pause
      continue
      ;;
    *)
      [ -n "$create" ] || give_up "$name is $now in $zone: --create=TYPE creates it"
      ((made++ <= recreations)) || give_up "$name is $now, and was recreated $recreations times"
      if [ "$now" != MISSING ]; then
        say "$name is $now: deleted, to be recreated"
        attend tpu delete "$name" --quiet
      fi
      attend make || { pause && continue; }
      prepared=""
      ;;
  esac
  started=$SECONDS status=0
  if [ -z "$prepared" ]; then
    attend prepare || status=$?
    ((status)) || prepared=yes
  fi
  if ((status == 0)) && [ -z "$stopping" ]; then
    attend on_all "$(remote "$@")" || status=$?
    ((status)) || break
  fi
  [ -z "$stopping" ] || exit "$STOPPED"
  ((SECONDS - started < LONG)) || failures=0
  ((failures++ < retries)) || give_up "ended with $status, $failures times in a row: given up"
  say "ended with $status; checking whether $name still exists"
  pause
done
[ -z "$delete" ] || tpu delete "$name" --quiet
say "done"
