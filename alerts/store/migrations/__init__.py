"""The steps by which an existing alert database becomes that of this version, for SQLite and PostgreSQL.

After a change of the tables write the next step with ``python -m alerts.store.migrations "what it is for"``, read what
it wrote, and commit both. Laws: a step once released is never edited; it adds (a table, a column with a default) before
a later release takes away, so that an instance of the version before goes on working beside it; no step touches the
bodies of findings, events or the record.
"""
