"""One reader per format of weight files. None executes what a file brings."""
