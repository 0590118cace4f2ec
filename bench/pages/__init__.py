"""How are the timings shown?

As tables, pictures and documents.
"""
