"""What the end-to-end tests are written with: processes, replicas, sidecars, images and clients."""
