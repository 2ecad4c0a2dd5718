"""The routes of ingest, and the models of their bodies and answers."""
