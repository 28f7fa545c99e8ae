"""The version of the ordering rules that a group is on; a node runs one version, and refuses all others by name."""

from mls import PublicGroup
from node.electorate import RuleError, policy_of
from ordering import RULES_VERSION


class OtherRulesError(RuleError):
    """The group is on other rules than this node: nodes that judge commits differently would fork it."""


def check_rules(public: PublicGroup) -> None:
    """Raises `OtherRulesError`, which names both versions. The version never changes inside a group."""
    rules = policy_of(public.extensions).rules
    if rules != RULES_VERSION:
        raise OtherRulesError(f"the group is on ordering rules {rules}; this node runs {RULES_VERSION}")
