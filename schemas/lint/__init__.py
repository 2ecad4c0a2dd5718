"""Finds what is legal but probably wrong in documents, alone and together. Pure."""
