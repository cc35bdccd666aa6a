"""The commands that README and the documentation show, as they are written there."""

import pathlib
import re

_FENCE = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:python\s+-m|bash)\s[^`]+)`")
_COMMENT = re.compile(r"\s+#\s.*$")


def commands_of(text: str) -> list[str]:
    """Of fenced blocks and of inline code, each on one line and without its comment."""
    found = []
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            line = _COMMENT.sub("", line).strip()
            if line and not line.startswith("#"):
                found.append(" ".join(line.split()))
    prose = _FENCE.sub("", text)
    return found + [" ".join(span.split()) for span in _INLINE.findall(prose)]


def all_commands(root: pathlib.Path) -> dict[str, list[str]]:
    """The commands of README.md, CONTRIBUTING.md and of each page in docs."""
    found = {}
    pages = sorted((root / "docs").rglob("*.md"))
    for path in (root / "README.md", root / "CONTRIBUTING.md", *pages):
        text = path.read_text()
        found[str(path.relative_to(root))] = list(dict.fromkeys(commands_of(text)))
    return found
