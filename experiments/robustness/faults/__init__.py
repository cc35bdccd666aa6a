"""The parts of experiments/robustness/faults/__main__.py."""
