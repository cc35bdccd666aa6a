"""The start of a run, the training step and loop, and the checks before and during training."""
