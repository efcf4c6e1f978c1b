"""`serve run serve.app:build`: the deployment, with the models inside the replica that answers.

A call to another replica costs about 10 ms, more than animating 200 ms of speech; so one process does all of a stream.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig

from serve.api import build_api
from serve.service import Service, load_models
from serve.settings import Settings, load

_LOOK_EVERY = 1.0
"""Seconds between looks whether the replica is about to stop."""


@serve.deployment(name="Animator")
@serve.ingress()
class AnimatorDeployment:
    """A replica: models, HTTP and websocket."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.service: Service | None = None
        self.models = load_models(settings)

    def __serve_build_asgi_app__(self) -> Any:
        return build_api(self._begin)

    def _begin(self) -> Service:
        self.service = Service(self.settings, self.models)
        self._watch = asyncio.create_task(_tell_of_stopping(self.service))
        return self.service

    async def ProcessAudioStream(self, request_stream: Any, grpc_context: Any = None) -> AsyncIterator[Any]:
        """Answer a client of Audio2Face-3D, see `serve.a2f`."""
        from serve.a2f import process

        assert self.service
        metadata = grpc_context.invocation_metadata() if grpc_context else ()
        async for reply in process(self.service, request_stream, metadata):
            yield reply

    def check_health(self) -> None:
        """Raise if the ticker has died, to have the replica replaced."""
        if self.service and self.service.ticker.failed:
            raise RuntimeError("the ticker has ended")


async def _tell_of_stopping(service: Service) -> None:
    while not _stopping():
        await asyncio.sleep(_LOOK_EVERY)
    service.stop_soon()


def _stopping() -> bool:
    """Whether Ray is about to stop this replica; it tells user code only once all requests have ended."""
    from ray._private.worker import global_worker

    actor = global_worker.actors.get(global_worker.actor_id)
    replica = getattr(actor, "_replica_impl", None)
    return bool(getattr(replica, "_shutting_down", False))


def build(arguments: dict[str, Any]) -> serve.Application:
    """Return the application; arguments are settings, such as `limits.streams=30` or `models.default=s3://FOLDER`."""
    settings = load(arguments)
    limits, scaling = settings.limits, settings.scaling
    deployment: serve.Deployment = AnimatorDeployment  # type: ignore[assignment]
    return deployment.options(
        # More than the replica takes on, so that it is the replica that refuses, at once and with a reason.
        max_ongoing_requests=4 * (limits.streams + limits.requests),
        max_queued_requests=limits.streams + limits.requests,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=limits.retry_after),
        ray_actor_options={"num_cpus": scaling.cpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=scaling.min_replicas, max_replicas=scaling.max_replicas,
            target_ongoing_requests=scaling.target, upscale_delay_s=5, downscale_delay_s=120,
        ),
        health_check_period_s=5,
        graceful_shutdown_wait_loop_s=1,
        graceful_shutdown_timeout_s=limits.drain + 10,
    ).bind(settings)  # fmt: skip
