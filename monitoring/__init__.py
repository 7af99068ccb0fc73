"""Watching from the side: metrics, health, and the journal. Every service uses these; they use no service."""
