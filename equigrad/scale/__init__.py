"""Is it still the same hash when several processes share the samples?"""
