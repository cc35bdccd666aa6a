"""Feature extractors with an output stride that one field decides."""
