"""A long run against a world that misbehaves; see test_soak.py."""
