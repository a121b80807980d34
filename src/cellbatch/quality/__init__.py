"""Quality: what speaks against trusting a sample, as figures, and the thresholds that turn them into a verdict."""
