"""Online animation on Ray Serve."""
