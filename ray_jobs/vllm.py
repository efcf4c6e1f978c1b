"""Answers from a language model inside the cluster: vLLM through `ray.data.llm`, before the job's workers begin.

`answer(requests, config)` lets the engine answer what the cache does not hold, and keeps each answer there; then it
asks again for those that cannot be used. A killed run goes on where it stood. The workers of `annotate` only look the
answers up. Needs the package vllm and a GPU.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import util
from typing import TYPE_CHECKING, Any, cast

from expclip import answers, llm
from expclip.errors import BadRequestError
from expclip.llm import Reply, Request, Settings
from expclip.llm.cache import Cache

if TYPE_CHECKING:
    from ray_jobs.annotate import Config

_BLOCK = 256
"""Requests of a block; the engine's batches are smaller."""


@dataclass(frozen=True)
class Engine:
    """How vLLM runs the model that `llm.model` names; for backend vllm alone."""

    replicas: int = 1  # copies of the model, each with its own GPUs
    batch_rows: int = 64  # requests that a replica is handed at once
    accelerator: str = ""  # type of GPU, such as L4 or H100; empty: any
    engine: Mapping[str, Any] = field(default_factory=dict)  # vLLM's own, e.g. {tensor_parallel_size = 2}


Process = Callable[[Any], Any]
"""Data set of `engine_row`s -> data set of what `after` returns."""


def answer(requests: Iterable[Request], config: "Config", process: Process | None = None) -> int:
    """Let the model answer all that the cache lacks, again where needed; return how many answers it gave.

    `process` stands for the engine in tests. Raises BadRequestError if vllm is not installed.
    """
    if process is None:
        process = engine_process(config.llm, config.vllm)
    cache, given = Cache(config.cache), 0
    asked = list(requests)
    for _ in range(config.attempts):
        known = {llm.request_key(config.llm, request): request for request in asked}
        given += _ask({key: r for key, r in known.items() if cache.get(key) is None}, config, cache, process)
        revise = partial(answers.revise, attempts=config.attempts)
        replies = ((request, cache.get(key)) for key, request in known.items())
        asked = [follow for request, reply in replies if reply and (follow := revise(request, reply))]
        if not asked:
            break
    cache.close()
    return given


def _ask(requests: Mapping[str, Request], config: "Config", cache: Cache, process: Process) -> int:
    """Run the engine over requests by key and keep what it answers."""
    if not requests:
        return 0
    from ray_jobs import cluster

    given = 0
    with cluster.connected(config.resources):
        import ray.data as rd

        rows = [engine_row(key, request, config.llm) for key, request in requests.items()]
        data = rd.from_items(rows).repartition(target_num_rows_per_block=_BLOCK)
        for batch in process(data).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for key, reply in _answers(batch.to_pylist()):
                cache.put(key, reply)
                given += 1
            cache.flush()
    return given


def _answers(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Reply]]:
    """Yield what the engine answered; rows on which it failed stay unanswered."""
    for row in rows:
        if not row.get("__inference_error__"):
            yield row["key"], Reply(**{name: row[name] for name in ("text", "tokens_in", "tokens_out", "cut")})


def engine_row(key: str, request: Request, settings: Settings) -> dict[str, Any]:
    """Return a request as a row of the engine's data set.

    What is nested goes as JSON: in a data set, mappings of many rows would be filled up to one shape.
    """
    sampling = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": request.seed,
        "structured_outputs": {"json": json.dumps(request.schema)},
        **settings.body,
    }
    messages = [dict(message) for message in request.messages]
    return {"key": key, "request": json.dumps({"messages": messages, "sampling_params": sampling})}


def before(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the engine takes of a row: `messages` and `sampling_params`."""
    return dict(json.loads(row["request"]))


def after(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of the engine's row."""
    tokens_out, most = int(row["num_generated_tokens"]), json.loads(row["request"])["sampling_params"]["max_tokens"]
    return {
        "key": row["key"],
        "text": row["generated_text"],
        "tokens_in": int(row["num_input_tokens"]),
        "tokens_out": tokens_out,
        "cut": tokens_out >= most,
    }


def check_installed() -> None:
    """Raise BadRequestError if vllm is not installed here."""
    if util.find_spec("vllm") is None:
        raise BadRequestError(
            "backend vllm needs the package vllm on every node (pip install 'ray[llm]'), and a GPU; "
            "or serve the model and use backend openai"
        )


def engine_process(settings: Settings, engine: Engine) -> Process:
    """Return the engine as a step over data sets; raises BadRequestError if vllm is not installed."""
    check_installed()
    from ray.data.llm import build_processor

    return cast(Process, build_processor(processor_config(settings, engine), preprocess=before, postprocess=after))


def processor_config(settings: Settings, engine: Engine) -> Any:
    """Return Ray's configuration of the engine."""
    from ray.data.llm import vLLMEngineProcessorConfig

    return vLLMEngineProcessorConfig(
        model_source=settings.model,
        engine_kwargs={"enable_prefix_caching": True, **engine.engine},
        batch_size=engine.batch_rows,
        concurrency=engine.replicas,
        accelerator_type=engine.accelerator or None,
        should_continue_on_error=True,
    )
