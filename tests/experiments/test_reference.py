"""The reference of flags and fields is what the programs and the comments say today."""

import pytest

from experiments.readme_tables import reference
from jaxseg.cli import commands


def test_the_page_of_fields_is_the_programs():
    """If this fails: python -m experiments.readme_tables.reference."""
    assert reference.FIELDS.read_text() == reference.fields_page()


def test_every_field_says_what_it_means():
    """But those whose name says it all."""
    for line in reference.fields_page().splitlines():
        if line.startswith("| `"):
            assert len(line.split(" | ")) == 3, line


def test_every_command_has_its_section():
    text = reference.FLAGS.read_text()
    assert all(f"\n## jaxseg {name}\n" in text for name in commands.COMMANDS)


@pytest.mark.slow
def test_the_pages_are_the_programs():
    assert reference.FLAGS.read_text() == reference.flags_page()
