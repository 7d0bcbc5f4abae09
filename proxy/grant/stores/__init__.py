"""Where grants are kept: one contract (base), three places (memory, file, redis), one record.

The place is chosen by the composition root; everything else sees the protocols of `base`.
"""
