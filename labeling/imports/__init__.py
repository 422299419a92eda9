"""Files that people bring, read and checked line by line."""
