"""What must a backend obey, and are mistakes caught?"""
