"""What to do about known-bad versions: second floor, above `registry` and `audit`, neighbour of `sync`."""
