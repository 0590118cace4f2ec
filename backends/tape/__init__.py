"""An update noted once and repeated into arrays that are reused."""
