"""The condition language (contract, section 5): its model, and the Python that is generated from it. Pure."""
