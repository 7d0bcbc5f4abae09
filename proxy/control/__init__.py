"""The routes of the proxy itself, under /-/, and the OAuth callback.

`application.Control` answers them, out of what `context.ControlContext` hands in. It promises that
no answer holds a token, a secret or a key. It never forwards anything, and touches no socket.
"""
