"""Errors, files, the commands' habits, processes: what has nothing to do with pictures."""
