"""`touchline import`: accounts and suppressions from CSV, events from lines of JSON, over the API alone.

A file streams through: `csv_rows.py` or `event_lines.py` read it, `columns.py` makes the body of an update of a row,
`sender.py` carries batches to the server, and `journal.py` remembers how far a file of events has come. `report.py`
collects what is wrong, line by line.
"""
