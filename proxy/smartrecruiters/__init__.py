"""What is known of the SmartRecruiters API: operations, limits, scopes, links in bodies.

No I/O. No other package holds facts about the vendor's API, and this one imports no other. How sure
each fact is, and where from: docs/smartrecruiters.md.
"""
