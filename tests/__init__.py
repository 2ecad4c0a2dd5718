"""Everything that is checked by machine, from single functions to processes under fire."""
