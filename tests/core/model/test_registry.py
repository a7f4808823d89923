from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.errors import LevelError, ModelError
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.model.registry import (
    add_model,
    best_model,
    choose_model,
    find_model,
    installed,
    user_folder,
)
from memnet_core.tasks import Levels

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.model.network import MemNet

    WriteModel = Callable[..., Path]


@pytest.fixture
def write_model(
    tiny_model: Callable[[Architecture], MemNet], models_folder: Path
) -> WriteModel:
    """Write a model file, into the user's folder unless told."""

    def write(
        name: str,
        *levels: float,
        task: str = "denoise",
        continuous: bool = True,
        folder: Path = models_folder,
        file: str | None = None,
        colors: bool = False,
        grain: str = "white",
    ) -> Path:
        shape = Architecture(
            memory_blocks=1,
            recursions=1,
            channels=1,
            image_channels=3 if colors else 1,
        )
        path = folder / f"{file or name}.safetensors"
        save_model(
            path,
            tiny_model(shape),
            name=name,
            task=task,
            grain=grain,
            levels=Levels(values=levels or (30,), continuous=continuous),
            version="1.0",
            license="BSD-3-Clause",
        )
        return path

    return write


@pytest.fixture
def shipped_folder(models_folder: Path) -> Path:
    return models_folder.with_name("shipped")


def installed_names() -> list[str]:
    return [entry.card.name for entry in installed()[0]]


def test_users_models_come_before_those_that_ship(
    write_model: WriteModel, shipped_folder: Path
) -> None:
    write_model("a", folder=shipped_folder)
    write_model("c")
    write_model("b")
    entries, problems = installed()
    assert [(entry.card.name, entry.is_shipped) for entry in entries] == [
        ("b", False),
        ("c", False),
        ("a", True),
    ]
    assert problems == []


def test_other_files_and_a_missing_folder_are_no_models(
    write_model: WriteModel, models_folder: Path
) -> None:
    (models_folder / "notes.txt").write_text("")
    assert installed() == ([], [])
    shutil.rmtree(models_folder)
    assert installed() == ([], [])


def test_file_that_is_being_copied_is_no_model(
    write_model: WriteModel, models_folder: Path
) -> None:
    original = write_model("a")
    with replaced_when_complete(models_folder / "b.safetensors") as temporary:
        shutil.copyfile(original, temporary)
        assert installed_names() == ["a"]


def with_header(header: str) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a model",
        with_header("{}"),
        with_header('{"__metadata__": {"memnet": "{}"}}'),
        with_header('{"__metadata__": null}'),
        with_header(100_000 * "["),
    ],
    ids=lambda content: str(content[:40]),
)
def test_broken_file_is_reported_and_does_not_hide_the_others(
    write_model: WriteModel, models_folder: Path, content: bytes
) -> None:
    write_model("a")
    write_model("c")
    (models_folder / "b.safetensors").write_bytes(content)
    entries, (problem,) = installed()
    assert [entry.card.name for entry in entries] == ["a", "c"]
    assert "b.safetensors" in str(problem)


def test_model_is_found_by_its_name_whatever_its_file_is_called(
    write_model: WriteModel,
) -> None:
    path = write_model("fine", file="other")
    assert find_model("fine").path == path
    with pytest.raises(ModelError, match="no model 'other'"):
        find_model("other")


def test_users_model_is_preferred_to_a_shipped_one_of_its_name(
    write_model: WriteModel, shipped_folder: Path
) -> None:
    shipped = write_model("same", folder=shipped_folder)
    assert find_model("same").path == shipped
    added = write_model("same")
    assert find_model("same").path == added


def test_model_is_found_by_its_file(write_model: WriteModel, tmp_path: Path) -> None:
    path = write_model("fine", folder=tmp_path)
    entry = find_model(str(path))
    assert (entry.path, entry.card.name) == (path, "fine")
    without_suffix = path.rename(tmp_path / "file")
    assert find_model(str(without_suffix)).card.name == "fine"


def test_missing_file_is_named(models_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.safetensors: No such file"):
        find_model(str(models_folder / "absent.safetensors"))


def test_unknown_name_lists_what_is_installed(
    write_model: WriteModel, shipped_folder: Path
) -> None:
    with pytest.raises(ModelError, match="no model 'c'; installed: none"):
        find_model("c")
    write_model("b")
    write_model("b", folder=shipped_folder)
    write_model("a", folder=shipped_folder)
    with pytest.raises(ModelError, match=r"no model 'c'; installed: a, b\."):
        find_model("c")


def test_name_may_hold_a_dot(write_model: WriteModel) -> None:
    path = write_model("fine-1.0")
    assert find_model("fine-1.0").path == path


def test_folder_of_its_name_does_not_hide_a_model(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model("fine")
    (tmp_path / "fine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("fine").path == path


@pytest.mark.parametrize(
    ("level", "name"),
    [(5, "wide"), (20, "middle"), (25, "single"), (30, "middle"), (70, "wide")],
)
def test_narrowest_range_that_covers_a_level_serves(
    write_model: WriteModel, level: float, name: str
) -> None:
    write_model("middle", 20, 40)
    write_model("single", 25, continuous=False)
    write_model("wide", 5, 70)
    write_model("wider", 1, 100)
    write_model("other-task", 1, 100, task="deblock")
    assert best_model("denoise", level).card.name == name


def test_users_model_serves_before_a_shipped_one_of_the_same_width(
    write_model: WriteModel, shipped_folder: Path
) -> None:
    write_model("shipped", 20, 40, folder=shipped_folder)
    added = write_model("user", 25, 45)
    assert best_model("denoise", 30).path == added


def test_model_for_the_grain_of_the_noise_serves_where_there_is_one(
    write_model: WriteModel,
) -> None:
    write_model("white", 20, 40)
    write_model("shared", 10, 60, grain="correlated")
    assert best_model("denoise", 30).card.name == "white"
    assert best_model("denoise", 30, grain="correlated").card.name == "shared"
    assert best_model("denoise", 15, grain="white").card.name == "shared"


def test_colors_are_restored_by_a_model_for_colors_where_one_serves(
    write_model: WriteModel,
) -> None:
    write_model("gray", 20, 40)
    write_model("color", 10, 60, colors=True)
    write_model("wide", 1, 100)
    found = {
        (level, colors): best_model("denoise", level, colors=colors).card.name
        for level in (30, 50, 90)
        for colors in (False, True)
    }
    assert found == {
        (30, False): "gray",
        (30, True): "color",
        (50, False): "wide",
        (50, True): "color",
        (90, False): "wide",
        (90, True): "wide",
    }


@pytest.mark.parametrize(
    ("level", "nearest", "covered"),
    [(35, "low", "σ 5-30"), (45, "high", "σ 50, 70"), (61, "high", "σ 50, 70")],
)
def test_level_that_no_model_covers_is_refused_but_the_nearest_is_named(
    write_model: WriteModel, level: float, nearest: str, covered: str
) -> None:
    write_model("high", 50, 70, continuous=False)
    write_model("low", 5, 30)
    write_model("other-task", level, task="deblock")
    message = (
        f"covers σ {level}; the nearest is '{nearest}' \\({covered}\\)"
        r"\. Accept it with nearest=True"
    )
    with pytest.raises(LevelError, match=message):
        best_model("denoise", level)
    assert best_model("denoise", level, nearest=True).card.name == nearest


@pytest.mark.parametrize("nearest", [False, True])
def test_task_without_a_model_is_refused(
    write_model: WriteModel, nearest: bool
) -> None:
    write_model("a", task="deblock")
    with pytest.raises(LevelError, match=r"No model for sr is installed.*memnet train"):
        best_model("sr", 2, nearest=nearest)


def test_chosen_model_has_to_serve(write_model: WriteModel) -> None:
    write_model("narrow", 20, 30)
    wide = write_model("wide", 10, 50)
    assert choose_model("denoise", 25).card.name == "narrow"
    assert choose_model("denoise", 25, "wide").path == wide
    with pytest.raises(LevelError, match=r"'wide' covers σ 10-50, not 60\. .*nearest="):
        choose_model("denoise", 60, "wide")
    assert choose_model("denoise", 60, "wide", nearest=True).path == wide
    with pytest.raises(LevelError, match="'wide' is for denoise, not for sr"):
        choose_model("sr", 25, "wide", nearest=True)


def test_added_model_is_copied_under_its_name(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "not" / "there"
    monkeypatch.setenv("MEMNET_MODELS", str(folder))
    source = write_model("fine", folder=tmp_path, file="download")
    entry = add_model(source)
    assert entry.path == folder / "fine.safetensors"
    assert entry.path.read_bytes() == source.read_bytes()
    assert find_model("fine") == entry
    another = add_model(write_model("finer", folder=tmp_path))
    assert set(folder.iterdir()) == {entry.path, another.path}


def test_second_model_of_a_name_is_refused(
    write_model: WriteModel, tmp_path: Path
) -> None:
    added = write_model("fine", 10, 20)
    before = added.read_bytes()
    with pytest.raises(
        ModelError, match=r"already a model 'fine'.*rename or delete that one"
    ):
        add_model(write_model("fine", 30, 40, folder=tmp_path))
    assert added.read_bytes() == before


def test_damaged_model_is_not_added(
    write_model: WriteModel, tmp_path: Path, models_folder: Path
) -> None:
    source = write_model("fine", folder=tmp_path)
    content = bytearray(source.read_bytes())
    content[-1] ^= 1
    source.write_bytes(content)
    assert find_model(str(source)).card.name == "fine"
    with pytest.raises(ModelError, match="SHA-256 differs"):
        add_model(source)
    assert list(models_folder.iterdir()) == []


def test_folder_that_cannot_be_made_is_an_error(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_model("fine", folder=tmp_path)
    monkeypatch.setenv("MEMNET_MODELS", str(source / "models"))
    with pytest.raises(ModelError, match=r"Cannot copy to .*models: Not a directory"):
        add_model(source)


def test_users_folder_lies_in_the_users_data_unless_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMNET_MODELS", "elsewhere")
    assert user_folder() == Path("elsewhere")
    monkeypatch.delenv("MEMNET_MODELS")
    assert user_folder().is_absolute()
    assert "napari-memnet" in user_folder().parts
