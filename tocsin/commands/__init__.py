"""The subcommands of ``tocsin``: each module holds one, or one family."""
