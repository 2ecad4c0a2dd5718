"""Kafka, PostgreSQL and the three services as plain processes of this machine."""
