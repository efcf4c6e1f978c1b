"""Backend `vllm`: the answers of a model that ran inside the cluster, before the job's own workers began.

The job fills the cache with them round by round (`ray_jobs/vllm.py`); here they are only looked up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from expclip.errors import BadRequestError
from expclip.llm import Reply, Request, Revise, Settings, request_key, stands
from expclip.llm.cache import Cache


class Stored:
    """Answers from a cache alone."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        if not settings.model:
            raise BadRequestError("backend vllm needs llm.model, a folder or hub name of the model to run")
        self._settings, self._cache, self.model = settings, cache, settings.model

    def complete(self, requests: Sequence[Request], revise: Revise = stands) -> Iterator[Reply]:
        """Return the answers, in order; a question that was never answered has an error."""
        return (self._last(request, revise) for request in requests)

    def _last(self, request: Request, revise: Revise) -> Reply:
        reply = self._known(request)
        while not reply.error and (follow := revise(request, reply)) is not None:
            request = follow
            reply = self._known(request)
        return reply

    def _known(self, request: Request) -> Reply:
        reply = self._cache.get(request_key(self._settings, request))
        return replace(reply, attempt=request.attempt) if reply else Reply(error="the model gave no answer")
