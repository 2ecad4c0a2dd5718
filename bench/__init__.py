"""Benchmarks: ratios taken in one run, the two sides in turn, medians quoted."""
