"""Back ends that run a network; each satisfies `triage_models.ports.Runtime`."""
