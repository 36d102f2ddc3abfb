"""What all tests share: one torch thread, the shared photographs and a browser, each skipped with a reason."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
import torch

torch.set_num_threads(1)

PROJECT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing(reason: str) -> NoReturn:
    """Skip the test and say why; under CI=true what is missing is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true, so this is not skipped)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The photographs and COCO files of ../shared/data, beside the project."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        missing("../shared/data is not there: the test needs its COCO files")
    return folder


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The ImageNet weights of MobileNetV2's features in ../shared/weights."""
    file = PROJECT.parent / "shared" / "weights" / "mobilenet_v2-imagenet-features.pth"
    if not file.is_file():
        missing("../shared/weights has no MobileNetV2 file")
    return file


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The executable of an installed Chromium or Chrome, for Playwright's `executable_path`."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return Path(found)
    missing("no Chromium is installed: the test needs a browser (apt-get install chromium)")
