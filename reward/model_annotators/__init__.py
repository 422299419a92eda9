"""Models that judge: reward models ahead of people, language models as judges."""
