"""The email channel: the message, and the two ways of handing it over."""
