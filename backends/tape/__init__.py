"""How is an update recorded once and repeated into the same arrays?"""
