"""Processes, the device mesh, and the coordinated end of a run with several processes."""
