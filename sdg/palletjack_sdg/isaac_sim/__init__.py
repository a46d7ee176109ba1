"""The Isaac Sim backend: the parts that need no Isaac Sim, so that they are tested everywhere."""
