"""Which mask belongs to which image in a user's own folders, tables and lists."""
