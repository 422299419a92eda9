"""What keeps judgments good: guidelines, qualification, known answers, repeats."""
