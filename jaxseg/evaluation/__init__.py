"""Evaluation of a whole split: from predictions and labels to counts and their record."""
