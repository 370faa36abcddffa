"""The days of a month: until when one applies, when all are asked, when the result is out, who is in which draw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from exchange.apps.car_quota.quota_rules import MonthRules, QuotaRules
from exchange.cases.clocks import Stop, due_with_stops
from exchange.workdays import Calendar, Due

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class QuotaMonth:
    """The days of one month, each the last one of its step (inclusive) or the one of its event."""

    rules: MonthRules
    apply_from: date
    apply_until: date
    asked_on: date
    answers_due: Due
    withdraw_until: date
    result_on: date
    recheck_until: Due
    sealed_on: date
    draw_on: date

    def answers_due_with(self, stops: Collection[Stop], today: date, calendar: Calendar) -> Due:
        """The last day of a review whose clock stands still while a unit outside of the city is awaited."""
        return due_with_stops(self.asked_on, self.rules.review_within, stops, today, calendar)

    def result_for(self, reviewed_on: date) -> date:
        """The day on which an applicant gets the result of a review that ended on that day.

        It is the month's, or later, if the last answer came later: nobody is refused for an answer that is missing.
        """
        return max(self.result_on, reviewed_on)


def days_of(rules: QuotaRules, month: date, region: str, calendar: Calendar) -> QuotaMonth:
    """The days of the month, by what is in force on its first day; QuotaRulesError if that is not one rule."""
    of_month, before = rules.days(month, region), (month.replace(day=1) - _DAY)
    apply_until = month.replace(day=of_month.apply_until)
    asked_on, result_on = apply_until + _DAY, month.replace(day=of_month.result_on)
    draw_on = month.replace(day=of_month.draw_on)
    return QuotaMonth(
        rules=of_month,
        apply_from=_applied_until(rules, before, region) + _DAY,
        apply_until=apply_until,
        asked_on=asked_on,
        answers_due=calendar.due(asked_on, of_month.review_within),
        withdraw_until=month.replace(day=of_month.withdraw_before) - _DAY,
        result_on=result_on,
        recheck_until=calendar.due(result_on, of_month.recheck_within),
        sealed_on=draw_on - _DAY,
        draw_on=draw_on,
    )


def month_of_application(rules: QuotaRules, applied_on: date, region: str) -> date:
    """The month, as its first day, in which an application of that day is reviewed."""
    return (
        _next(applied_on) if applied_on.day > rules.days(applied_on, region).apply_until else applied_on.replace(day=1)
    )


def month_of_draw(rules: QuotaRules, passed_on: date, region: str) -> date:
    """The month, as its first day, of the first draw for one who passed on that day: by review or by a re-check.

    Who passes after the result of a month is in the draw of the next one, even if the month's list is not sealed yet.
    """
    return _next(passed_on) if passed_on.day > rules.days(passed_on, region).result_on else passed_on.replace(day=1)


def _applied_until(rules: QuotaRules, month: date, region: str) -> date:
    """The month's last day to apply; the month's end, where there were no rules yet."""
    there = [each for each in rules.months if each.region == region and each.holds_on(month.replace(day=1))]
    return month.replace(day=there[0].apply_until) if there else month


def _next(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
