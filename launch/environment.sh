# shellcheck shell=bash
# Sourced by the other scripts: makes .venv with Python 3.11-3.13 and installs one requirements file.
# usage: environment_ready FILE   (then "$PYTHON" is the interpreter to use)

PYTHON="$PWD/.venv/bin/python"

_find_python() {
  local candidate
  for candidate in "${JAXSEG_PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  echo "jaxseg needs Python 3.11, 3.12 or 3.13; name one with JAXSEG_PYTHON=/path/to/python" >&2
  return 1
}

environment_ready() {
  local file="$1" stamp python
  # What was asked for: installing again is needed only when one of these files has changed.
  stamp="$file $(cat requirements.txt requirements/*.txt | cksum)"
  if [ -x "$PYTHON" ] && grep -qxF "$stamp" .venv/installed 2>/dev/null; then
    return 0
  fi
  if [ ! -x "$PYTHON" ]; then
    python="$(_find_python)"
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv .venv
  fi
  echo "Installing $file (the first time takes some minutes)"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check \
    -r "$file" -c requirements/constraints.txt
  echo "$stamp" >>.venv/installed
}
