"""The rules engine, kind by kind."""
