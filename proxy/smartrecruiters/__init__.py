"""What is known of the SmartRecruiters API: operations, limits, scopes, links in bodies.

Values in, values out. Nothing of the vendor's API stands anywhere else in the program, and nothing
here knows the rest of it. How sure each fact is, and where from: docs/smartrecruiters.md.
"""
