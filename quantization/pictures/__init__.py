"""Reading and writing pictures: still, indexed, animated, in sheets."""
