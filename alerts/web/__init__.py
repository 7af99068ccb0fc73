"""The doctor's page and its API.

Laws: nothing is fetched from elsewhere; no inline script or style; nothing is cached; every refusal is a sentence.
"""
