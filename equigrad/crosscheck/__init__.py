"""Is a function's gradient right, or its port to another framework, and if not, at which line do they part?"""
