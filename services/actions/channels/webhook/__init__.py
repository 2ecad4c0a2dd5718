"""The webhook channel: the signed request, the guard of addresses, the limit on requests at once."""
