"""What the page says of scores is what the entries say, on any screen."""

import pytest

pytestmark = [pytest.mark.web, pytest.mark.enable_socket]
NAMES = ("kriegeskorte2008.humanIT-rsa", "cowley2023.V4-ridge", "insilico.V4-ridge")
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def six(made):
    return made.rows(6, NAMES)


@pytest.mark.parametrize("view", ["scores", f"benchmark={NAMES[1]}"])
def test_tables_are_sorted_on_a_phone(opened, six, view):
    page = opened(six, f"#{view}")
    table = page.locator(f"#{view.partition('=')[0]}")
    assert not table.locator("[name=sort]").is_visible()  # a wide screen has headers
    page.set_viewport_size(PHONE)
    assert not table.locator("thead").is_visible()
    table.locator("[name=sort]").select_option("raw")
    scores = [float(text.split()[0]) for text in table.locator("tbody .score > span").all_inner_texts()]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 2
    assert page.evaluate("document.activeElement.name") == "sort"
    table.locator("[name=direction]").select_option("up")
    again = [float(text.split()[0]) for text in table.locator("tbody .score > span").all_inner_texts()]
    assert again == scores[::-1]
    assert table.locator("[name=sort]").input_value() == "raw"
    for control in (table.locator("[name=sort]"), table.locator("[name=direction]")):
        control.focus()
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["height"] > 20
