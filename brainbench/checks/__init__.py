"""The public contract suite: the laws every dataset, model and scorer is held to, ours or a third party's.

`brainbench check NAME` runs them from the command line; in a package's own tests:

    from brainbench.checks import parametrize_with_checks

    @parametrize_with_checks([MyDataset()])
    def test_contract(thing, check):
        check.run(thing)
"""

from brainbench.checks._check import Check, Outcome, Violation, checks_for, kind_of, run_checks
from brainbench.checks._pytest import parametrize_with_checks

__all__ = ["Check", "Outcome", "Violation", "checks_for", "kind_of", "parametrize_with_checks", "run_checks"]
