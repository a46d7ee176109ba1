"""Parts of the sensitivity benchmark: changes to one layer, what they do to the answers, and the picture."""
