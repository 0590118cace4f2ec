"""Do all backends reach the same weights?"""
