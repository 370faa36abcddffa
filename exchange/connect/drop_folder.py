"""The folders beside which a drop folder keeps what it took."""

PLACES = ("taken", "done", "refused")
