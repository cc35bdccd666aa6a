"""Shows run folders as tables and as an HTML page."""
