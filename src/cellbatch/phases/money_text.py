"""The plan's hours and dollars as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellbatch.planning.cost import stated_error


def money_text(plan: Mapping[str, Any]) -> str:
    """Lines of ``plan.txt``."""
    lines = [f"{'':<19}{'tasks':>8}{'hours':>9}{'dollars':>9}{'set-up':>8}{'hand-off':>11}  limited by"]
    for row in plan["estimates"]:
        name = f"{row['mode']}, {row['market'].replace('_', ' ')}"
        lines.append(
            f"{name:<19}{row['tasks']:>8}{row['hours']:>9.2f}{row['dollars']:>9.2f}{row['setup_share']:>8.0%}"
            f"{row['handoff_bytes'] / 1e9:>8.1f} GB  {row['limited_by']}"
        )
    for process, machines in (plan.get("machines") or {}).items():
        lines.append(f"{process:<19}{', '.join(f'{count} x {name}' for name, count in machines.items())}")
    for name in ("cheapest", "fastest"):
        if name in plan:
            best = plan[name]
            lines.append(
                f"{name:<19}{best['mode']} on {best['gpus']} GPUs ({best['machine']}), --batch_pixels "
                f"{best['batch_pixels']}: {best['hours']:.2f} h, {best['dollars']:.2f} dollars"
            )
    lines.append(f"error              {stated_error(plan['place'])}")
    lines.append(f"phases             {plan['phases']['choice']} ({plan['phases']['why']})")
    if plan.get("prices"):
        lines.append(f"prices             {plan['prices']['region']}, {plan['prices']['date']}")
    return "\n".join(lines) + "\n"
