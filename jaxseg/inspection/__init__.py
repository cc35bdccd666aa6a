"""The layers of a network with their receptive fields and costs, read from its traced program."""
