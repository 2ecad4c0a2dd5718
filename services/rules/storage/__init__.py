"""What rules keeps in the database: partitions, account states, triggers, saved rules."""
