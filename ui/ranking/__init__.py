"""What lies before an annotator on the ranking page, and what becomes of what they do there."""
