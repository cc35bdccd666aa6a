"""What was run: one file per paper and data set."""
