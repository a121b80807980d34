"""The command ``cellbatch``: what it understands, and which phase does it."""
