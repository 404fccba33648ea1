import pytest

from brainbench.datasets import DATASETS, areas


@pytest.mark.parametrize("name", DATASETS.own)
def test_every_released_region_has_its_line_in_the_table(name):
    known = {region for regions in areas.NAMES.values() for region in regions}
    assert set(DATASETS[name].spec.regions) <= known


def test_a_name_stands_in_the_table_once():
    names = [name for names in areas.NAMES.values() for name in names]
    assert len(names) == len(set(names))
    assert set(areas.NAMES) == {*areas.AREAS, ""}


def test_areas_meet_across_releases_and_keep_apart_what_only_sounds_alike():
    assert areas.area_of("allen2021", "V1v") == areas.area_of("henaff2021", "V1") == "V1"
    assert areas.area_of("stringer2019", "V1") == areas.area_of("devries2020", "VISp") == "VISp"
    assert areas.area_of("allen2021", "lateral") == ""
    assert areas.areas_of("majajhong2015", ("IT", "V4")) == ["V4", "IT"]
