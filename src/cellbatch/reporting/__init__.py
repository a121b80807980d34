"""Reporting: what a run shows of itself: overlays, timings, summaries and one page that holds them."""
