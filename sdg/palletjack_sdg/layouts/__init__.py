"""How a frame's room is laid out and filled: zones, trucks, goods, light."""
