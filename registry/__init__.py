"""Packages, versions, people and the npm protocol: the first floor.

It may import `audit` (below) and nothing of `sync` or `bugversions` (above). Those take part through the sockets
in `settings.REGISTRY`, through events, and through panels.
"""
