"""Whether a playbook helps: those it touched beside those held out, as a statistician would compare them. Pure."""
