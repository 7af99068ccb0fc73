"""The ways to reach people. One shape: :class:`alerts.ports.Channel`.

Laws: returning means that the far side has accepted; a send ends within its deadline, whatever the far side does; no
log line and no error text carries a message's content, an address or a secret.
"""
