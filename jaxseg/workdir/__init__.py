"""What a run folder holds. Nothing else writes there."""
