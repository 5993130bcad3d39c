"""Quantiles of durations in bounded memory, within their stated error."""

import random

import pytest

from app.api.stats import Durations


def test_without_durations_quantiles_are_none() -> None:
    assert Durations().quantile(0.5) is None


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_quantiles_have_at_most_the_stated_error(share: float) -> None:
    seen = [random.Random(seed).lognormvariate(-1.5, 1) for seed in range(2001)]  # noqa: S311 - sample data
    durations = Durations()
    for seconds in seen:
        durations.add(seconds)
    assert durations.quantile(share) == pytest.approx(sorted(seen)[int(share * 2000)], rel=0.05)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e9])
def test_extreme_durations_are_clamped(seconds: float) -> None:
    durations = Durations()
    durations.add(seconds)
    found = durations.quantile(0.5)
    assert found is not None
    assert 0.001 <= found < 300
