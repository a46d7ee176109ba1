"""The page of a model folder, README.md, written from its model.json."""
