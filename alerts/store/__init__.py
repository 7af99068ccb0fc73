"""The alert store: SQLite for one machine, PostgreSQL for several, by the same code."""
