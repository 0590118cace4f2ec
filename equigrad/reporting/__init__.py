"""What does it look like?

One self-contained HTML page about one problem, which trains it too; and all problems as a site.
"""

from .page import Page, report, told_apart
from .static_site import site

__all__ = ["Page", "report", "site", "told_apart"]
