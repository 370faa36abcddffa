"""What the sentences of the household rule say, as the second program's codes."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SENTENCES = {
    r"Nobody of the case counts\.": "nobody_counts",
    r"By the register somebody is married, .*": "spouse_missing",
    r"Person (\d+) is dead by the register .*; a pension .*": "dead_with_pension",
    r"Person (\d+) is dead by the register and does not count\.": "dead",
    r"Person (\d+) is in custody .*": "custody",
    r"Person (\d+) serves as a conscript.*": "conscript",
    r"Person (\d+) has lived apart as clergy .*": "clergy",
    r"Person (\d+) is not in the register .*": "not_in_register",
    r"Person (\d+) is alive by the register, but a death was certified\.": "death_certified",
    r"Person (\d+) has moved out .*": "moved_out",
    r"Person (\d+) is divorced by a court .*": "divorce_open",
    r"Of the wages of person (\d+), .*: the job is new\.": "new_job",
    r"Of the wages of person (\d+), .*: going to work has its cost\.": "work_cost",
    r"Of the pensions of person (\d+), .*": "service_pension",
    r"Contributions were paid for person (\d+) .*": "work_without_wages",
    r"Person (\d+) holds a company .*": "company",
    r"Person (\d+) owns a car\.": "car",
    r"Person (\d+) has a disability card and owns an adapted car, .*": "adapted_with_card",
    r"Person (\d+) owns an adapted car, and another one .*": "adapted_for_another",
    r"Person (\d+) owns an adapted car, and nobody .*": "adapted_without_card",
    r"Each person has deposits or securities .*": "deposits",
    r"\d+ of \d+ persons have deposits or securities .*": "deposits_of_some",
    r"They own two dwellings or more, .*": "homes",
    r"They own property that is no dwelling and not their only home\.": "other_property",
    r"Several of them own property that is no dwelling.*": "other_property_of_several",
    r"The property that is no dwelling is their only home .*": "only_home",
    r"Who counts: .* which is below the standard .*": "income_below",
    r"Who counts: .* which is not below the standard .*": "income_not_below",
    r"Nothing that they own excludes aid\.": "nothing_excludes",
    r"After what they pay for treatment and school, .*": "hardship",
    r"The income is not above .*, the edge of the standard\.": "edge",
}


def codes(texts: Iterable[str]) -> list[str]:
    """The codes of these sentences, in order; one about a person ends in their number."""
    return sorted(_code(text) for text in texts)


def _code(text: str) -> str:
    for sentence, code in _SENTENCES.items():
        if found := re.fullmatch(sentence, text):
            return "/".join((code, *found.groups()))
    raise AssertionError(f"no code for: {text}")
