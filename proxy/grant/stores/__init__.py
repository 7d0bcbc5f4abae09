"""Where grants are kept: one contract (base), two places (file, redis), one record.

proxy.grant.accounts (`open_store`) chooses the place; all else sees the protocols of `base`.
"""
