"""The verbs that the ROS 2 trees of the isaacsim-ros2 wheel lack. Not needed beside an apt ROS 2."""
