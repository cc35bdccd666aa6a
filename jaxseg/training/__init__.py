"""Where a run begins, what a step computes, and what is checked before and during it."""
