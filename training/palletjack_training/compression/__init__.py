"""Smaller and faster networks: pruning, quantization and their INT8 graphs."""
