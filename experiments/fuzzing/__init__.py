"""The parts of experiments/fuzz.py."""
