"""What is timed: the backends, floors, idioms and peers."""
