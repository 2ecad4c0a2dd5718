"""Mails to assignees about their tasks: when they are due, their words, and their sending."""
