"""One module a page: its routes, and plain functions that make what a template shows from the API's answers."""

from services.console.pages import (
    backtests,
    deliveries,
    documents,
    home,
    library,
    playbooks,
    plays,
    rule,
    rule_edit,
    rule_versions,
    rules,
    settings,
    templates,
    triggers,
)

ROUTES = [
    *backtests.ROUTES,
    *deliveries.ROUTES,
    *documents.ROUTES,
    *home.ROUTES,
    *library.ROUTES,
    *playbooks.ROUTES,
    *plays.ROUTES,
    *rule_edit.ROUTES,
    *rule.ROUTES,
    *rule_versions.ROUTES,
    *rules.ROUTES,
    *settings.ROUTES,
    *templates.ROUTES,
    *triggers.ROUTES,
]
