"""One reader per format of weight files. None executes code from a file."""
