"""What leads decide about judged tasks."""
