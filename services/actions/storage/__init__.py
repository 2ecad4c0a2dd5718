"""What actions keeps in the database: plays, actions, attempts, tasks, suppressions, and its outbox."""
