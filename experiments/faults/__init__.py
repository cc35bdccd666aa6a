"""The parts of experiments/fault_drill.py."""
