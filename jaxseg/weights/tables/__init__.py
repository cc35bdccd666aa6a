"""One name table per source of published weights."""
