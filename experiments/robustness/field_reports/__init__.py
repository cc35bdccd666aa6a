"""Situations from public bug reports of segmentation libraries, each made and tried.

Each module has SITUATIONS, a tuple of `situation.Situation`.
"""
