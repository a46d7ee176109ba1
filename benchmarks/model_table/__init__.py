"""Parts of the compression table: what a row scores, how long it takes, and the picture."""
