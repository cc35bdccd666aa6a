"""The command line: flags, the experiment that they describe, and its checks."""
