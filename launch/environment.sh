# shellcheck shell=bash
# Sourced by the other scripts: creates .venv with Python 3.11-3.14 and installs one file of
# requirements.
# usage: environment_ready FILE   (then "$PYTHON" is the interpreter to use)

PYTHON="$PWD/.venv/bin/python"

# Whether a command is a Python of these versions that can create environments. A pyenv shim may
# refuse to run, and an app store's stub may exit with 0 without being Python: the output decides.
_is_python() {
  local said
  said="$("$1" -c 'import ensurepip, sys, venv; print((3, 11) <= sys.version_info[:2] <= (3, 14))' \
    2>/dev/null)" && [ "$said" = True ]
}

# Prints the first of these commands that is such a Python.
_first_python() {
  local candidate
  for candidate in "$@"; do
    if [ -n "$candidate" ] && _is_python "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

_find_python() {
  _first_python "${JAXSEG_PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3 python &&
    return 0
  echo "jaxseg needs Python 3.11, 3.12, 3.13 or 3.14; name one with JAXSEG_PYTHON=/path/to/python" >&2
  return 1
}

# Prints the newest Python from 3.12 on, which has a newer JAX; those installed by pyenv count too,
# even if its shims do not run them. Fails if there is none.
newest_python() {
  local minor kept=()
  for minor in 14 13 12; do
    kept+=("python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python)
  done
  _first_python "${kept[@]}"
}

environment_ready() {
  local file="$1" stamp python
  # The requested state: reinstall only if one of these files has changed.
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
  # The command `jaxseg`, which runs the code of this checkout.
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
  echo "$stamp" >>.venv/installed
}
