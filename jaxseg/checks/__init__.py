"""Whether an experiment can be run as it is set, before it meets data, weights and devices."""
