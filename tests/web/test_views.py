"""Where a reader goes in the page: the focus goes along, and whatever an address says, a view is shown and says so."""

import pytest

pytestmark = [pytest.mark.web, pytest.mark.enable_socket]
NAMES = ("kriegeskorte2008.humanIT-rsa", "cowley2023.V4-ridge", "insilico.V4-ridge")


@pytest.fixture(scope="module")
def three(made):
    return made.rows(3, NAMES)


# resolves when the page has heard of its new address
GONE = """to => new Promise((done) => {
  addEventListener('hashchange', () => done(), { once: true });
  location.hash = to;
})"""


def go(page, address):
    page.evaluate(GONE, address)


FOCUSED = "document.activeElement.id || document.activeElement.tagName"


def test_the_focus_goes_along_with_a_link(opened, three):
    page = opened(three)
    assert page.evaluate(FOCUSED) == "BODY"  # a page that was just loaded is read from its beginning
    ways = [
        ("#standings a", "model"),
        ("#model-body figcaption a", "benchmark"),
        ("#benchmark-body p a", "scores"),
        ("nav a[data-view=about]", "about"),
        ("nav a[data-view=compare]", "compare"),
        ("nav a[data-view=overview]", "overview"),
    ]
    for link, view in ways:
        page.locator(link).first.focus()
        page.keyboard.press("Enter")
        page.locator(f"#{view}-title:focus").wait_for()
        assert page.evaluate("scrollY") == 0
        page.keyboard.press("Tab")
        inside = page.evaluate(f"document.getElementById('{view}').contains(document.activeElement)")
        assert inside or view == "about"  # which has no control
    page.go_back()
    page.locator("#compare-title:focus").wait_for()


def test_what_is_still_there_keeps_the_focus(opened, three):
    page = opened(three, "#compare")
    page.focus("[name=second]")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(200)  # the browser tells of a new hash a moment later
    assert "#compare=" in page.url and page.evaluate("document.activeElement.name") == "second"
    page.focus("#theme")
    go(page, f"#model={three[0].folder}")
    assert page.evaluate(FOCUSED) == "theme"


def test_the_focus_goes_to_the_first_of_the_rows_that_are_asked_for(opened, made):
    names = ["cowley2023.V4-ridge", "cowley2023.V4-cka", "cowley2023.V4-ssm", "henaff2021.V1-ridge"]
    names += ["kriegeskorte2008.humanIT-rsa", "kriegeskorte2008.monkeyIT-rsa", "cowley2023.category-ka"]
    page = opened(made.rows(29, names), "#scores")
    page.focus("text=Show all 203 rows")
    page.keyboard.press("Enter")
    at = "[...document.querySelectorAll('#scores-table tbody tr')].indexOf(document.activeElement.closest('tr'))"
    assert page.evaluate("document.activeElement.tagName") == "A" and page.evaluate(at) == 200
