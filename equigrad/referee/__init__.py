"""What is right, computed by none of the three: 50 digits, rounding bounds, difference quotients."""
