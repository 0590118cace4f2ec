"""What is trained, and when are two results the same?"""
