"""What people see: one console for results, one for progress and errors."""

from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
"""Standard output: results, and nothing else."""

err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Standard error: progress, remarks, errors."""
