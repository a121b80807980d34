"""One module per process: the only place where rooms meet."""
