"""What is timed?

The backends, floors, other ways to write the update, and what others write.
"""
