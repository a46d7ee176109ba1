"""Labels of the rows of a box table that are not a class index."""

PADDING = -1
"""An unused row."""
IGNORED = -2
"""A region that counts neither as object nor as background."""
