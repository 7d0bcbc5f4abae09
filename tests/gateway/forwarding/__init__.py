"""Forwarding, judged over raw bytes on both wires: a raw caller, a recording upstream."""
