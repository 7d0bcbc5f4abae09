"""Exchanges as they went, kept in memory, written to HAR files, and answered again from them.

`exchange` has the values, `har` their form in HAR 1.2, `har_file` the file that grows, `matching`
finds the answer to a request again. Nothing here knows a connection.
"""
