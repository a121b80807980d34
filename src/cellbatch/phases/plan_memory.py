"""Whether this machine holds the tasks of a plan, asked before any of them starts."""

from collections.abc import Mapping, Sequence
from typing import Any

from cellbatch.io.host_memory import host_memory_mb, read_memory_mb
from cellbatch.planning.memory import refuse_too_large
from cellbatch.spec import Batch

LOCAL, CLUSTER = "local", "cluster"


def check_memory(batches: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], limit: str = "") -> None:
    """Refuse a plan that does not fit the machine where all tasks run beside the plan itself.

    Parameters
    ----------
    batches : as ``plan_batches`` makes them
    parameters : of the run; of the nodes of a cluster only the limit is known, and Google's machines are chosen later
    limit : Nextflow's ``resourceLimits`` for memory, such as ``8 GB``

    Raises
    ------
    ConfigError
        With the image, what it needs, and what helps.
    """
    limits_mb = {LOCAL: host_memory_mb(limit), CLUSTER: read_memory_mb(limit)}
    limit_mb = limits_mb.get(parameters.get("place", LOCAL))
    if limit_mb is None:
        return
    for batch in batches:
        memory_mb = batch["meta"]["memory"]
        # a run may have a million samples: looked at only where one of them is too large
        if max(memory_mb.values()) > limit_mb:
            refuse_too_large(memory_mb, Batch.from_json(batch["record"]).samples, limit_mb)
