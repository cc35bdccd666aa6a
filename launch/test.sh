#!/usr/bin/env bash
# The tests in an environment of their own making: bash launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/environment.sh

environment_ready requirements/dev.txt
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}"
exec "$PYTHON" -m pytest -m "not slow and not other_libraries" -n 2 --dist worksteal "$@"
