"""Mock commands: small scripts, first on PATH, that record what they are asked."""

# Folders whose names a shell, SLURM, YAML or Kubernetes could take for something else.
ODD_NAMES = (
    "two\nlines",
    'it\'s "quoted"',
    "$HOME $(touch ran) `touch ran`",
    "$(PATH) $$",
    "a; touch ran #",
    "100%j %%",
    "--folders=x",
    "{a: [b, *c]} & !d",
    "line\u2028break\x0b\x85",
    "*? [a]",
)

NOTE = """#!/bin/sh
{{ printf '%s\\n' "{name}" "$@"; echo --; }} >>"$TOLD/asked"
"""


def play(told, name, script):
    """A command that records its arguments, then runs `script`."""
    path = told / "bin" / name
    path.write_text(NOTE.format(name=name) + script)
    path.chmod(0o755)


def asked(told, name):
    """The arguments of each call of a command."""
    text = (told / "asked").read_text() if (told / "asked").exists() else ""
    calls = [call.strip("\n").split("\n") for call in text.split("--\n") if call.strip()]
    return [call[1:] for call in calls if call[0] == name]
