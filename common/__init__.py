"""The ground floor: problems, arithmetic, comparison and results. Knows no framework."""
