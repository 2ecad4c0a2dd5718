"""All tests, from single functions to processes that are killed."""
