"""Image sizes, machines and prices: what a run will need, before it runs."""
