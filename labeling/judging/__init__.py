"""What an annotator says of a task: drafts, judgments, corrections, demonstrations."""
