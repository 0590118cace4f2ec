"""What is exactly right?

50 digits, rounding bounds and difference quotients, computed by none of the three backends.
"""
