"""The API in a terminal: every call of it with its request and answer, then code that the user types."""
