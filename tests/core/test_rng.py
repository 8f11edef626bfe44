from star_agents.core.rng import derive, derive_int


def test_same_name_same_draw() -> None:
    """A draw depends on its name alone."""
    assert derive(17, "pairs", 3).random() == derive(17, "pairs", 3).random()


def test_ids_do_not_run_together() -> None:
    """(1, 23) and (12, 3) are different names."""
    assert derive_int(17, "pairs", 1, 23) != derive_int(17, "pairs", 12, 3)


def test_bits_bound_the_integer() -> None:
    """`derive_int` stays inside the bits it was asked for."""
    assert all(derive_int(17, "seed", number, bits=31) < 2**31 for number in range(1000))
