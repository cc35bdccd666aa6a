# shellcheck shell=bash
# Sourced by the other scripts: makes .venv with Python 3.11-3.14 and installs one requirements file.
# usage: environment_ready FILE   (then "$PYTHON" is the interpreter to use)

PYTHON="$PWD/.venv/bin/python"

# Whether a command is a Python of these versions that can make environments. A shim of pyenv for a
# version that is not active fails, and a stub may succeed without being Python: only what it prints counts.
_is_python() {
  local said
  said="$("$1" -c 'import ensurepip, sys, venv; print((3, 11) <= sys.version_info[:2] <= (3, 14))' \
    2>/dev/null)" && [ "$said" = True ]
}

# The newest one; installed versions of pyenv count although its shims refuse to run them.
_find_python() {
  local minor candidate
  for candidate in "${JAXSEG_PYTHON:-}" \
    $(for minor in 14 13 12 11; do
      printf '%s\n' "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python
    done) python3 python; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 && _is_python "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  echo "jaxseg needs Python 3.11, 3.12, 3.13 or 3.14; name one with JAXSEG_PYTHON=/path/to/python" >&2
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
