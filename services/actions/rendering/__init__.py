"""Rendering: from templates and what is known to mails, tasks and webhook bodies, in processes that can be killed."""

from services.actions.rendering.jobs import Body, Checked, Flaw, Mail, MailJob, RenderError, TextJob
from services.actions.rendering.renderer import RenderPool

__all__ = [
    "Body",
    "Checked",
    "Flaw",
    "Mail",
    "MailJob",
    "RenderError",
    "RenderPool",
    "TextJob",
]
