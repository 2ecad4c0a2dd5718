"""What the webhook channel is made of: the signature, and the guard of addresses."""
