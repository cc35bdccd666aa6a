#!/usr/bin/env bash
# Every network for the same 300 steps on CamVid at half size, as far as two CPU cores get in
# minutes: bash experiments/studies/camvid_300.sh [network ...]
#
# Images, crops and maps have half the height and width of experiments/*/*camvid.py; scores are
# enlarged and counted at 360 x 480. Needs data/camvid: python -m jaxseg.data.prepare --name=camvid
# Afterwards: python -m experiments.readme_tables.run_table, and .models for the table of networks.
set -euo pipefail
cd "$(dirname "$0")/../.."

python="${PYTHON:-.venv/bin/python}"
networks=("$@")
if [[ $# == 0 ]]; then
  for file in experiments/*/*camvid.py; do
    file="${file#experiments/}"
    networks+=("${file%.py}")
  done
fi

for network in "${networks[@]}"; do
  run="${network//\//_}_300"
  flags=()
  # Maps of 3 x 4 are left for its fc6.
  if [[ $network == deconvnet/camvid ]]; then flags+=(--config.model.fc_kernel=3); fi
  "$python" -m jaxseg.main --config="experiments/${network}.py" --workdir="runs/$run" \
    --config.train.steps=300 --config.train.eval_every=0 --config.data.crop_size=96,128 \
    --config.data.augment.scale_range=0.25,0.55 --config.eval.scales=0.5 "${flags[@]}"
  "$python" -m jaxseg.main --mode=evaluate --workdir="runs/$run"
  "$python" -m experiments.readme_tables.collect "$run" "runs/$run"
done
