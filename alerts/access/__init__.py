"""Who may see and do what: accounts, sign-in, sessions, single sign-on, API tokens, roles and the audit of views.

Laws: a request is somebody's or it is refused; what somebody may do is in one table (:mod:`alerts.access.permissions`);
no secret is kept from which it could be read again, but for the second factor's, which is sealed; whoever looks at a
patient's study is on the record.
"""
