"""The log in one process, in chunks of records in one SQLite file."""
