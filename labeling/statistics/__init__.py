"""Agreement between annotators and how far each can be relied on."""
