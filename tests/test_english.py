"""Phrases that are not idiomatic English, once found in messages and docstrings, do not return.

A short list, not an engine of style: each is searched in sources, scripts and documentation.
"""

import pathlib
import re
import subprocess

import pytest

from jaxseg.errors import counted
from tests.conftest import ROOT

FOLDERS = ("jaxseg", "experiments", "launch", "tests", "docs", "README.md", "CONTRIBUTING.md")
KINDS = {".py", ".sh", ".md", ".html", ".yaml"}
PHRASES = {
    r"\b(is|are) no (flag|folder|file of|JSON|example|whole number|part of|pattern)\b": (
        "is not a ..."
    ),
    r"\banew\b": "again; is reinitialised",
    r"\bfacts at hand\b|\bdesign notes\b|\bfrom memory in\b": (
        "cite the paper's section or the released file, or say that neither states it"
    ),
    r"\bbefall\w*": "faults are injected into",
    r"\bone's own (data|files|images|set)\b": "your own",
    r"\bunsaid\b": "silently",
    r"\b(will|would|can|must|to) mend\b|\bmends\b": "fix",
    r"(?<![\\.,\d])\b1 (problems|images|files|jobs|examples|steps)\b(?!/)": "jaxseg.errors.counted",
    r"\bis held against\b|\bare held against\b": "is compared with",
    r"; near it:": "did you mean ...?",
    r"\bthere is no data set\b": "unknown data set",
}


def texts():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in map(pathlib.Path, listed):
        if name.suffix in KINDS and (ROOT / name).is_file() and name.name != "test_english.py":
            yield name, (ROOT / name).read_text()


def test_no_text_has_one_of_these_phrases():
    found = []
    for name, text in texts():
        for phrase, instead in PHRASES.items():
            for match in re.finditer(phrase, text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line}: {match[0]!r}: {instead}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "bad",
    [
        "'x' is no flag",
        "it starts anew",
        "from memory in the facts at hand",
        "1 problems",
        "mends it",
    ],
)
def test_the_phrases_are_found(bad):
    assert any(re.search(phrase, bad) for phrase in PHRASES)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 images"), (1, "1 image"), (2000, "2,000 images")]
)
def test_counted(number, text):
    assert counted(number, "image") == text
