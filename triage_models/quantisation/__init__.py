"""From a network in 32-bit floating point to a quantised one that decides alike, or to a refusal."""
