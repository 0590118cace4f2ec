"""Tests of several processes; a package, because they share groups.py."""
