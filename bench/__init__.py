"""How long does an update take?"""
