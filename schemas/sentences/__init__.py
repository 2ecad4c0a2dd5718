"""Reasons as sentences for people, and how numbers and times are worded. Pure."""
