"""The task channel: its actions are tasks, done by the commit in which their step ran."""
