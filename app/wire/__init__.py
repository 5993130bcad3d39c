"""Messages between the api and the executor, their limits, and how they are sent."""
