"""Is each gradient right?"""
