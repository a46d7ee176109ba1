"""Parts of the ablation: what its rows are, how they are run, and the table that they make."""
