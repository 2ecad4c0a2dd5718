"""The delivery loop: due actions out of the house, and what became of them back into the database."""

from services.actions.delivery.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
