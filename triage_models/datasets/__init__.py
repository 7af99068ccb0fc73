"""Labelled head CT on disk: one module per public data set, each yielding `Case` objects.

No data is carried here; every set has its own terms, which its user accepts.
"""
