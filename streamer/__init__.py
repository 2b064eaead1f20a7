"""Wikipedia's edits, enriched with their articles, as one live feed for every partner."""
