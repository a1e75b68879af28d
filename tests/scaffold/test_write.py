from __future__ import annotations

import ast
from datetime import date
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from skewless.scaffold.shop import make_shop, shop_draft
from skewless.scaffold.write import FolderNotEmpty, in_triple_quotes, quoted, write_project

TODAY = date(2026, 3, 1)


def test_an_empty_folder_is_taken_and_another_is_refused(tmp_path: Path):
    (tmp_path / "shop").mkdir()
    make_shop(tmp_path / "shop", TODAY)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FolderNotEmpty, match="choose another name"):
        make_shop(tmp_path / "shop", TODAY)
    (tmp_path / "file").touch()
    with pytest.raises(FolderNotEmpty):
        make_shop(tmp_path / "file", TODAY)
    (tmp_path / "file").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_leaves_nothing(tmp_path: Path):
    with pytest.raises(UndefinedError):
        write_project(tmp_path / "shop", shop_draft("shop", TODAY), "tables_of_the_shop.py", {})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_goes_once_there_is_a_project(tmp_path: Path):
    left, others = (
        tmp_path / f".shop-{'a1' * 8}",
        [tmp_path / f".shop2-{'a1' * 8}", tmp_path / ".shop", tmp_path / ".shop-x"],
    )
    for folder in (left, *others):
        (folder / "inside").mkdir(parents=True)
    make_shop(tmp_path / "shop", TODAY)
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "shop"])


def test_every_module_is_python(tmp_path: Path):
    make_shop(tmp_path / "shop", TODAY)
    modules = list((tmp_path / "shop").rglob("*.py"))
    assert len(modules) == 9
    for module in modules:
        ast.parse(module.read_text())
        assert max(map(len, module.read_text().splitlines())) <= 130


@pytest.mark.parametrize("text", ['say "yes"', "back\\slash", 'three """ of them', "ü\n"])
def test_texts_are_read_back(text: str):
    assert ast.literal_eval(quoted(text)) == text
    assert ast.literal_eval(f'"""{in_triple_quotes(text)} """') == f"{text} "
