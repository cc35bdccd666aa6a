"""The reference of flags and fields matches the programs and the comments."""

import pytest

from experiments.readme_tables import reference
from jaxseg.cli import commands


def test_the_page_of_fields_is_the_programs():
    """If this fails: python -m experiments.readme_tables.reference."""
    assert reference.FIELDS.read_text() == reference.fields_page()


def test_every_field_of_an_experiment_says_what_it_means():
    """The page lists what `--config.*` can reach. If this fails: a comment at the definition."""
    rows = [row for row in reference.fields_page().splitlines() if row.startswith("| `")]
    assert len(rows) > 200
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_command_has_its_section():
    text = reference.FLAGS.read_text()
    assert all(f"\n## jaxseg {name}\n" in text for name in commands.COMMANDS)


@pytest.mark.slow
def test_the_pages_are_the_programs():
    assert reference.FLAGS.read_text() == reference.flags_page()
