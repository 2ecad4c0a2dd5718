"""Sources: other systems' webhooks. Who sent one, what is in its body, and which events it becomes. Pure."""
