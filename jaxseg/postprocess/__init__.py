"""Post-processing of a network's logits: the fully connected CRF."""
