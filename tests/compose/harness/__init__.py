"""A Docker engine of the test's own, images for it that come from Debian, and the fleet that compose.yaml describes."""
