#!/usr/bin/env bash
# Runs the tests in an environment that it creates: bash launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh

environment_ready requirements/dev.txt
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}"
exec "$PYTHON" -m pytest -m "not slow and not other_libraries" -n 2 --dist worksteal "$@"
