"""README fits two screens; its links and those of CONTRIBUTING are valid; lists are complete."""

import re

import pytest

from jaxseg.data import builders
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_readme_is_short():
    assert len(README.encode()) <= 9_000
    table = README.partition("<!-- models -->")[2].partition("<!-- /models -->")[0]
    assert 10 < len(table.strip().splitlines()) <= 25
    assert README.count("![") == 1


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?://)([^)#]+)[^)]*\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_file_that_contributing_names_is_there():
    """Except those of the example, a TinyNet and a tiny data set."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:jaxseg|experiments|tests|docs|launch)/[\w./-]+)`", text))
    assert len(named) > 10
    missing = {name for name in named if not (ROOT / name).exists() and "tiny" not in name}
    assert not missing


def test_every_data_set_stands_in_the_list_of_published_ones():
    rows = re.findall(r"^\| ([\w, ]+) \|", (ROOT / "docs" / "data.md").read_text(), re.MULTILINE)
    listed = {name.strip() for row in rows for name in row.split(",")} - {"name"}
    assert listed == set(builders.VERSIONS) - {"folder"}
    for kind, variants in builders.VARIANTS.items():
        assert all(f"{kind}/{own}" in (ROOT / "docs" / "data.md").read_text() for own in variants)
