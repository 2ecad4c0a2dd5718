"""The words of the channels: for each, what a playbook's step may say. Pure."""
