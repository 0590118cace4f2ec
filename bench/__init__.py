"""Benchmarks of the core update loop."""
