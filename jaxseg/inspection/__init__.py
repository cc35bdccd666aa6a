"""What a network's layers are, see and cost, read from its traced program."""
