"""A login from its beginning to its end: the routes, and what each of its ends is called.

`routes` takes the requests, `pending` recognises the login that an answer belongs to, `taking`
turns the answer into a grant or a failure, `outcomes` names the ends, `replacing` holds what waits
for a person's decision.
"""
