"""Backend `vllm`: its wiring with a stand-in for the engine, its configuration, the message where vllm is missing."""

import json
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from expclip import annotate as wording
from expclip.errors import BadRequestError
from expclip.items import Item
from expclip.llm import Settings
from expclip.llm.cache import Cache
from ray_jobs import annotate, vllm
from ray_jobs.annotate import Config
from ray_jobs.vllm import Engine

SETTINGS = Settings(model="some/model", max_tokens=300, body={"top_p": 0.9})
REQUEST = wording.build(Item("t0", texts={"prompt": "Say it with joy."}), examples=1)


def test_what_goes_into_the_engine_and_comes_out() -> None:
    row = vllm.engine_row("k", REQUEST, SETTINGS)
    assert set(row) == {"key", "request"}
    given = vllm.before(row)
    assert given["messages"] == [dict(message) for message in REQUEST.messages]
    sampling = given["sampling_params"]
    assert (sampling["temperature"], sampling["top_p"], sampling["max_tokens"]) == (0.8, 0.9, 300)
    assert json.loads(sampling["structured_outputs"]["json"]) == REQUEST.schema
    kept = vllm.after(row | given | {"generated_text": "{}", "num_input_tokens": 7, "num_generated_tokens": 300})
    assert kept == {"key": "k", "text": "{}", "tokens_in": 7, "tokens_out": 300, "cut": True}


def test_without_vllm_the_request_is_refused(tmp_path: Path) -> None:
    if util.find_spec("vllm"):
        pytest.skip("vllm is installed")
    (tmp_path / "t.txt").write_text("smug\n")
    with pytest.raises(BadRequestError, match="needs the package vllm on every node"):
        annotate.run(Config(str(tmp_path / "t.txt"), str(tmp_path / "out"), "vllm", SETTINGS))
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


@pytest.mark.ray
@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")
def test_the_engines_configuration_is_what_was_asked(ray_local: Any) -> None:
    engine = Engine(replicas=2, batch_rows=16, accelerator="L4", engine={"tensor_parallel_size": 2})
    made = vllm.processor_config(SETTINGS, engine)
    assert (made.model_source, made.batch_size, made.concurrency) == ("some/model", 16, 2)
    assert (made.accelerator_type, made.should_continue_on_error) == ("L4", True)
    assert made.engine_kwargs["tensor_parallel_size"] == 2
    assert made.engine_kwargs["enable_prefix_caching"] is True
    assert vllm.processor_config(SETTINGS, Engine()).accelerator_type is None


class StandIn:
    """Stands for the engine: answers well but for the first answer to t1, and fails on t2."""

    def __init__(self, marks: Path) -> None:
        self.marks = marks

    def __call__(self, data: Any) -> Any:
        marks = str(self.marks)

        def generate(row: dict[str, Any]) -> dict[str, Any]:
            given = vllm.before(row)
            question = given["messages"][-1]["content"]
            with open(f"{marks}/{row['key']}", "a") as file:
                file.write("x")
            if "number 2" in question:
                return {"__inference_error__": "out of memory", "key": row["key"]}
            text = "bad" if "number 1" in question else json.dumps(GOOD)
            out = row | given | {"generated_text": text, "num_input_tokens": 50, "num_generated_tokens": 9}
            return vllm.after(out) | {"__inference_error__": ""}

        return data.map(generate)


GOOD = {
    "emotion": "calm joy", "category": "happiness", "valence": 0.5, "arousal": 0.1, "tag": "calm joy",
    "action_units": [{"unit": "AU12", "intensity": 0.4}, {"unit": "AU6", "intensity": 0.3}],
    "situation": "The train is on time and the seat by the window is free.",
    "description": "Lip corners up a little, cheeks lifted.",
}  # fmt: skip


@pytest.mark.ray
@pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")
def test_rounds_fill_the_cache_and_repeat_nothing(ray_local: Any, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    config = Config("x", str(tmp_path / "out"), "vllm", SETTINGS, cache=str(tmp_path / "cache"), attempts=2)
    items = [Item(f"t{k}", texts={"prompt": f"Say number {k} with joy."}) for k in range(4)]
    asked = [wording.build(item) for item in items]
    assert vllm.answer(asked, config, StandIn(marks)) == 4  # t0, t1, t3 and t1 again
    assert Cache(config.cache).totals() == (4, 200, 36)
    assert vllm.answer(asked, config, StandIn(marks)) == 0
    tries = sorted(len(file.read_text()) for file in marks.iterdir())
    assert tries == [1, 1, 1, 1, 2]  # only what failed was asked for anew

    step = annotate.AnnotateStep(config)
    replies = list(step._complete([{"item": vars(item), "variant": 1} for item in items]))
    assert [reply.error for reply in replies] == ["", "", "the model gave no answer", ""]
