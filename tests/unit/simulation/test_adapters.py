from epp.simulation.adapters import AdapterSlots


def test_a_full_batch_takes_only_adapters_that_it_has() -> None:
    slots = AdapterSlots(2)
    assert slots.fits("a", {"a", "b"})
    assert not slots.fits("c", {"a", "b"})
    assert slots.fits("c", {"a"})


def test_the_base_model_always_fits() -> None:
    assert AdapterSlots(1).fits("", {"a"})


def test_only_the_least_recently_used_adapter_has_to_be_loaded_again() -> None:
    slots = AdapterSlots(2)
    assert slots.use({"a", "b"}) == 2
    assert slots.use({"a"}) == 0
    assert slots.use({"c"}) == 1
    assert slots.use({"a"}) == 0
    assert slots.use({"b"}) == 1
