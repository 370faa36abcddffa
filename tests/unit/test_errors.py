"""Every error has a code of its own, and docs/errors.md lists all of them as the code has them."""

from __future__ import annotations

from exchange.errors import ConfigError, ExchangeError
from tests.error_codes import PAGE, faults, leaves, page


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.error_codes"


def test_every_leaf_has_a_code_a_meaning_and_a_remedy_of_its_own() -> None:
    assert list(faults(ExchangeError)) == []


def test_a_leaf_has_the_exit_status_of_its_branch() -> None:
    assert [leaf for leaf in leaves(ExchangeError) if "exit_status" in vars(leaf)] == []


def test_wrong_codes_are_found() -> None:
    class Root(ConfigError):
        """The root of these only."""

    def leaf(**attributes: str) -> type[ExchangeError]:
        attributes = {"__doc__": "Wrong.", "remedy": "mend it", "__module__": "exchange.x"} | attributes
        return type("LeafError", (Root,), attributes)

    made = [leaf(code="one"), leaf(code="one"), leaf(code="two_words"), leaf(), leaf(code="three", remedy="")]
    assert list(faults(Root)) == [
        "LeafError has the code of LeafError",
        "LeafError: two_words is not words with hyphens",
        "LeafError has no code of its own",
        "LeafError has no remedy of its own",
    ]
    assert len(made) == 5


def test_an_error_says_its_own_remedy_before_that_of_its_class() -> None:
    class LeafError(ConfigError):
        """A leaf."""

        code = "leaf"
        remedy = "of the class"

    assert str(LeafError("wrong")) == "wrong — of the class"
    assert str(LeafError("wrong", remedy="of its own")) == "wrong — of its own"
