"""Where grants are kept: one contract (base), two places (file, redis), one record.

The place is chosen by the composition root; everything else sees the protocols of `base`.
"""
