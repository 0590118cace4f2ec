"""Does a function do what its port to another framework does, and if not, at which line do they part?"""
