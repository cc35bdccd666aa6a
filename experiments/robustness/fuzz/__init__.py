"""The parts of experiments/robustness/fuzz/__main__.py."""
