"""Where the door's blocking work runs: see `backbone.lanes`."""

from backbone.lanes import Lane

at_the_door = Lane("door", 32)
