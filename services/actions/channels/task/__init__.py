"""The task channel. Its actions are tasks, which are done by the commit in which their step ran."""
