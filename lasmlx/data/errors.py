class DataError(ValueError):
    """Data that cannot be had or used. The message says what was given, what was expected and what to do."""
