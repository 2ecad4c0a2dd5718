"""Counts of rows by quarter hours, kept by the database itself in the transaction that changes the rows. See
docs/decisions/0047-stats.md."""
