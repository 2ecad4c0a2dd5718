"""One module a page: its routes, and plain functions that make what a template shows from the API's answers."""

from services.console.pages import deliveries, home, templates

ROUTES = [
    *deliveries.ROUTES,
    *home.ROUTES,
    *templates.ROUTES,
]
