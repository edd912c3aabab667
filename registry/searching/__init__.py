"""What search looks for, and what it looks into."""
