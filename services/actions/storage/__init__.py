"""The database side of actions: plays, actions, attempts, tasks, suppressions, and the outbox."""
