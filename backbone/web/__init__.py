"""The HTTP side of all services: the server and its limits, the app, API keys, bodies, lists, and the OpenAPI page."""
