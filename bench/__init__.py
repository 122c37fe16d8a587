"""Measuring ourselves beside the same work done by hand, in one run: ``make bench``.

Absolute figures depend on the machine and on who else uses it, so ours and the peer always take turns, and the
ratio is what counts. Every benchmark checks afterwards that the work was really done.
"""
