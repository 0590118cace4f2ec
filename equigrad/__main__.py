"""`python -m equigrad`."""

from .cli import main

main()
