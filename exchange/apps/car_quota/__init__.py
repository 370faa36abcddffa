"""Car quota (中小客车指标): how many a month has, who may take part until when, and who wins; pure.

Here a quota is the right to register one car, and not, as in a contract, how many records a grant delivers. Read
`quota_rules` (what is data), `allocation`, `quota_month`, `application_code`, `lottery`, `lottery_seed`.
"""
