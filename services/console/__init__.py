"""The console: pages for people, over the API of the three services and nothing else. It has no tables."""
