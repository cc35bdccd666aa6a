"""One table of names per source of published weights."""
