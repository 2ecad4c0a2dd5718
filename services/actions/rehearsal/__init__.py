"""A rehearsal: a playbook is played over given triggers and the log, and nothing is stored, sent or counted. Pure.

The plays run on the same `PlaysPartition` as on a server, with the log clock. `kept.py` holds the part of the log that
concerns the accounts of the triggers, `order.py` puts records and triggers in order, `player.py` plays them,
`stage.py` is the store that the plays see, `drawing.py` renders, and `report.py` sums up.
"""
