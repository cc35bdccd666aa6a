"""Matches masks with images in a user's own folders, tables and lists."""
