"""Parts of the node benchmark: a camera and a listener on a real ROS graph, and the picture of the result."""
