"""Stream processing: every slice is read as it arrives, every series ends in exactly one outcome.

Other packages may import :mod:`streams.contracts` and nothing else from here; this file therefore stays empty.
"""
