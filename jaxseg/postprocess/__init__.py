"""What is done to a network's logits after it: the fully connected CRF."""
