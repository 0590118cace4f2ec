"""Are the derivatives of any function right, framework against framework?"""
