"""From predictions and labels to the counts of a whole split and their record."""
