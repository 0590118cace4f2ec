"""Which laws must a backend obey, and are mistakes caught?"""
