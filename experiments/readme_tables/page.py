"""Pages of the documentation with a part, between two marks, that a program writes."""

import pathlib

from jaxseg import whole_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"


def with_part(text: str, name: str, block: str) -> str:
    """The text of a page with a block between `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
      ValueError: the marks are missing.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"the page has no {begin} ... {end} to write between")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def write(page: str, name: str, block: str) -> None:
    """Writes a block between its marks in a page, such as "docs/models.md"."""
    path = ROOT / page
    whole_file.write_text(path, with_part(path.read_text(), name, block))


def holds(page: str, name: str, block: str) -> bool:
    """Whether a page has exactly this block between its marks."""
    text = (ROOT / page).read_text()
    return with_part(text, name, block) == text
