"""The fields of an experiment: how they are walked and stored, and which values they may have."""
