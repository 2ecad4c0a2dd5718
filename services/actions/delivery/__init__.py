"""The delivery loop: sends due actions, and records in the database how they ended."""

from services.actions.delivery.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
