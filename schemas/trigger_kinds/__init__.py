"""The words of the trigger kinds: one file each, a model with a description and an example per field. Pure."""
