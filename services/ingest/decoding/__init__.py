"""What the event formats share: JSON into events or refusals that name the field, and what holds for every event."""
