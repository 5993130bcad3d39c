"""What crosses between the api and the executor."""
