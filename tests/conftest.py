"""Hypothesis draws the same examples at every run: the gate fails for a change, never by chance.

``HYPOTHESIS_PROFILE=explore make check`` looks for new ones.
"""

import os

from hypothesis import settings

settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
