"""One self-contained HTML page about one problem: verdict, replay, code, differences, gradient check, timings."""

from .page import Page, report, told_apart

__all__ = ["Page", "report", "told_apart"]
