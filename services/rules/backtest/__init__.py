"""Backtests: what a rule would have done over the log, in a process that can change nothing.

`request.py` makes a plan of what was asked for, `process.py` is the process that carries it out. There `history.py`
puts the log into the order in which it is judged, `spilling.py` keeps account states on disk where they are too many,
`replay.py` drives the engine, and `ledger.py` counts and keeps the triggers.
"""
