"""Rooms in which several visitors edit and run the same files.

Where rooms are off, the api imports only the settings and the messages.
"""
