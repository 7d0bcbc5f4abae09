"""Recorded exchanges: kept in memory, written to HAR files, and answered again from those.

`exchange` has the values, `har` their form in HAR 1.2, `har_file` the file that grows, `matching`
finds the answer to a request again. Nothing here opens a connection.
"""
