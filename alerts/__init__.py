"""The bell: findings in, a doctor's answer out.

Laws: a finding is committed before its offset; what people must be told is written in the same transaction as the
finding that says so; a message counts as delivered only when its channel has accepted it; *not analysed* is never
shown or sent as *no bleed found*; an alert stays open until a human has answered it.
"""
