"""The routes of the proxy itself, under /-/, and the OAuth callback.

An ordinary aiohttp application, built by `application.build_application` from what
`context.ControlContext` hands in. It promises that no answer holds a token, a secret or a key, and
that every answer closes its connection. It never forwards anything.
"""
