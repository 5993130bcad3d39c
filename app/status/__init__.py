"""Writes the status page as static files: what is up now, how it was on each of the last 90 days, incidents and planned
work. The edge serves the files itself, so that they are there while everything else is away.
"""
