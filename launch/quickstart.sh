#!/usr/bin/env bash
# From a fresh clone to a trained network and its report: bash launch/quickstart.sh
# Running it again resumes it; finished steps are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh

requirements=requirements/cpu.txt
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
  requirements=requirements.txt
else
  export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}"
fi
environment_ready "$requirements"

started=$SECONDS
run=runs/quickstart
"$PYTHON" -m jaxseg.data.prepare --name=shapes --data_dir=data
"$PYTHON" -m jaxseg.main --mode=train --config=experiments/quickstart.py --workdir="$run"
"$PYTHON" -m jaxseg.main --mode=evaluate --workdir="$run"
"$PYTHON" -m jaxseg.data.prepare --name=shapes --data_dir=data --export="$run/photos" --examples=8
"$PYTHON" -m jaxseg.main --mode=predict --workdir="$run" --inputs="$run/photos"
"$PYTHON" -m jaxseg.report "$run"
echo "Took $((SECONDS - started)) s after the installation."
