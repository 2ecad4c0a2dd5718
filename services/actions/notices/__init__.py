"""Notices to the people who run Touchline: their words, their sending, and who raises them here."""
