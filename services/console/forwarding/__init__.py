"""One address for the API of all services: which answers what, what is passed on, and what is joined."""
