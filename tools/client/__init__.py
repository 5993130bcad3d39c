"""An interactive client for the terminal: every call of the API with its request and answer, then code that you type.

`python -m tools.client [--url http://localhost:8000] [--tour]`. With --tour it makes the calls without asking, and its
exit code is 0 if every answer was as expected.
"""
