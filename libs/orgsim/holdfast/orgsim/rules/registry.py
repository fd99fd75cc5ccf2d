"""The lists of rules. `platform` fills them; rules that save further records let those pass the last list as well."""

from __future__ import annotations

from holdfast.orgsim.rules.batch import Rule

BEFORE_SAVE: list[Rule] = []
BEFORE_DELETE: list[Rule] = []
AFTER_SAVE: list[Rule] = []
