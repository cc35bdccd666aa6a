"""Between the command line and the modes: flags, the experiment they describe, checks."""
