"""Other people's models as a second opinion on a whole series, run by their own programs on the user's machine.

Nothing of theirs is carried here. Each adapter names the licence and the terms of use; both projects say that they are
not for clinical use.
"""
