"""One module a page: its routes, and plain functions that make what a template shows from the API's answers."""

from services.console.pages import deliveries, home, playbooks, plays, templates, triggers

ROUTES = [
    *deliveries.ROUTES,
    *home.ROUTES,
    *playbooks.ROUTES,
    *plays.ROUTES,
    *templates.ROUTES,
    *triggers.ROUTES,
]
