"""One file per framework, all three with the same names in the same order."""
