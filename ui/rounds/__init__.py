"""What the rounds page shows: the round at work, its report, the policies, two of them compared."""
