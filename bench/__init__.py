"""The benchmark: our proxy beside the proxies people would pick instead.

Run with ``python -m bench``; see README.md in this folder. It needs nothing but the standard
library itself: what it measures is built or installed into ``bench/.work``. All traffic stays on
the loopback.
"""
