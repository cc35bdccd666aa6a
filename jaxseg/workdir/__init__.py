"""Everything that reads or writes a run folder."""
