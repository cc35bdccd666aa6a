"""Run folders as tables and as one HTML page."""
