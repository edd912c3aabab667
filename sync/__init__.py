"""Bringing packages in from upstreams: second floor, above `registry` and `audit`, neighbour of `bugversions`."""
