"""Grants: hands out valid access tokens, and never loses a refresh token.

`manager.TokenManager` keeps one account's grant; `lifecycle` has the rules as a table, `live` the
grant in memory, `refresh` the only sequence that spends a refresh token. Nothing is imported here:
a command that only reads the stored token needs few of these modules.
"""
