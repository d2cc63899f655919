"""What the fault tests are written with: sizes, background load, partitions, hostile clients, and the table of rows."""
