"""The email channel: the message, and the two transports for it."""
