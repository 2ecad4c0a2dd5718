"""What the email channel is made of: the message, and two ways of handing it over."""
