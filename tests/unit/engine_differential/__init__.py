"""The engine against the oracle: hand-made examples for both, then generated histories."""
