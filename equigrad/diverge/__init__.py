"""Where do two backends part, and what does each hold inside?"""
