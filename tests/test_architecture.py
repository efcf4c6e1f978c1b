"""The layering holds, and importing the package or asking for help stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "expclip": {"ray", "mlflow", "fastapi", "starlette", "ray_jobs", "serve"},
    "ray_jobs": {"serve"},
    "serve": {"ray_jobs"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports anywhere, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_inward(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(f.relative_to(ROOT)): imported(f) & FORBIDDEN[package] for f in files}
    assert not {f: names for f, names in wrong.items() if names}


def test_no_module_imports_another_layer_of_its_own_nouns() -> None:
    """rig and errors are the floor: they import nothing of ours but each other."""
    for name in ("rig", "errors"):
        tree = ast.parse((ROOT / "expclip" / f"{name}.py").read_text("utf-8"))
        ours = {
            n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("expclip")
        }
        assert ours <= {"expclip.errors"}


@pytest.mark.parametrize("statement", ["import expclip", "import expclip; expclip.load_rig(); expclip.Animation"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    heavy = ("torch", "ray", "transformers", "mlflow", "numba", "scipy", "pyarrow")
    code = f"{statement}\nimport sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there() -> None:
    import expclip

    for name in expclip.__all__:
        assert getattr(expclip, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = expclip.nonsense
