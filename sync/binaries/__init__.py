"""Mirrors of files that are no npm packages, such as the releases of Node: fetched when asked for, verified, kept."""
