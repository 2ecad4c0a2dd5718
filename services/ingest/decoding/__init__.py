"""What the event formats share: turning JSON into events, refusals that name the field, and checks of every event."""
