"""What the launch files bring up. Only these modules and ``nodes`` import ROS (here: launch, ament)."""
