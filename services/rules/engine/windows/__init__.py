"""Windows: series of counted events, sliding and over all time, in exact arithmetic. Pure."""
