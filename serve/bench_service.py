"""The service that `serve.bench` starts: `python -m serve.bench_service MODE PORT`, until a line comes on its input."""

import sys
import threading
from typing import Any

from serve.settings import Settings, load

_SETTINGS: dict[str, Any] = {"limits.burst": 1000, "limits.rate": 500, "scaling.max_replicas": 1}


def main() -> None:
    """Run until told to stop."""
    mode, port = sys.argv[1], int(sys.argv[2])
    if mode == "plain":
        _plain(load(_SETTINGS), port)
    else:
        _on_ray(port)


def _plain(settings: Settings, port: int) -> None:
    import uvicorn

    from serve.api import build_api
    from serve.service import Service, load_models

    models = load_models(settings)
    api = build_api(lambda: Service(settings, models))
    server = uvicorn.Server(
        uvicorn.Config(api, host="127.0.0.1", port=port, log_level="warning", ws="websockets-sansio")
    )
    threading.Thread(target=_stop_at_input, args=(server,), daemon=True).start()
    server.run()


def _stop_at_input(server: Any) -> None:
    sys.stdin.readline()
    server.should_exit = True


def _on_ray(port: int) -> None:
    import os
    import tempfile

    import ray
    from ray import serve

    from serve.app import build

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a cluster of this process's own, on loopback
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, _temp_dir=folder,
            object_store_memory=200 << 20, runtime_env={"env_vars": {"PYTHONPATH": os.getcwd()}},
        )  # fmt: skip
        serve.start(http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 120})
        serve.run(build(_SETTINGS), name="expclip", route_prefix="/")
        sys.stdin.readline()
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


if __name__ == "__main__":
    main()
