"""The routes of actions: documents, plays, actions, tasks, suppressions, and the unsubscribe page."""
