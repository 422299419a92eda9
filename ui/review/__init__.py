"""What the review page shows, and what its buttons do."""
