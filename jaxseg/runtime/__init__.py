"""Processes, the device mesh, and how a run of several processes ends."""
