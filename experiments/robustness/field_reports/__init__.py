"""Situations from public bug reports of segmentation libraries, each reproduced and tried.

Each module defines SITUATIONS, a tuple of `situation.Situation`.
"""
