#!/usr/bin/env bash
# From a fresh clone to a trained network and its report: bash launch/quickstart.sh
# With the argument instances it trains a small Mask R-CNN instead of a DeepLab v3+; further arguments
# are flags of its training, such as --config.train.steps=100.
# Running it again resumes it; finished steps are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh

task="${1:-}"
test $# = 0 || shift
case "$task" in
  "") data=shapes config=experiments/quickstart.py run=runs/quickstart ;;
  instances)
    data=shapes/instances config=experiments/mask_rcnn/shapes.py run=runs/quickstart_instances
    ;;
  *)
    echo "quickstart.sh: $task is unknown: give no argument, or instances" >&2
    exit 2
    ;;
esac

requirements=requirements/cpu.txt
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
  requirements=requirements.txt
else
  export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}"
fi
environment_ready "$requirements"

started=$SECONDS
"$PYTHON" -m jaxseg.data.prepare --name="$data" --data_dir=data
"$PYTHON" -m jaxseg.main --mode=train --config="$config" --workdir="$run" "$@"
"$PYTHON" -m jaxseg.main --mode=evaluate --workdir="$run"
"$PYTHON" -m jaxseg.data.prepare --name="$data" --data_dir=data --export="$run/photos" --examples=8
"$PYTHON" -m jaxseg.main --mode=predict --workdir="$run" --inputs="$run/photos"
"$PYTHON" -m jaxseg.report "$run"
echo "Took $((SECONDS - started)) s after the installation."
