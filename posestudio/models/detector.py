"""Find people in photographs with torchvision's detector. No training, no project."""

import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models import detection

from posestudio.errors import InputError, WeightsError
from posestudio.models.weights import read_tensors

PERSON = 1
"""COCO's class number of a person in torchvision's detectors."""

MIN_SCORE = 0.6
"""Detections below this are left out. Ours: few false boxes matter more to a labeler than a missed person."""

INSTEAD = "Use --boxes full, or draw the boxes in the studio."


class Detector:
    """A person detector: an image in, boxes out."""

    def __init__(self, net: nn.Module, *, device: str = "cpu") -> None:
        self.net = net.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def people(
        self, image: np.ndarray, *, min_score: float = MIN_SCORE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the people of one image.

        Args:
            image: (H, W, 3) uint8 RGB.
            min_score: detections below this are left out.

        Returns:
            box_xywh: (N, 4) float64 in image pixels, best first. score: (N,) in [0, 1].
        """
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        found = self.net([pixels.permute(2, 0, 1).float() / 255])[0]
        keep = (found["labels"] == PERSON) & (found["scores"] >= min_score)
        corners = found["boxes"][keep].double().cpu().numpy()
        box_xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        return box_xywh, found["scores"][keep].double().cpu().numpy()


def _download() -> dict[str, torch.Tensor]:
    weights = detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1
    return weights.get_state_dict(progress=False, check_hash=True)


def load(
    weights: Path | None = None,
    *,
    device: str = "cpu",
    fetch: Callable[[], dict[str, torch.Tensor]] = _download,
) -> Detector:
    """Load the detector: Faster R-CNN with MobileNetV3 at 320 pixels, trained on COCO.

    Args:
        weights: a state dict on disk; torchvision's own are downloaded (once) when absent.
        device: where it runs.
        fetch: what gets the weights when none are given.

    Raises:
        InputError: the weights cannot be downloaded.
        WeightsError: the file cannot be read or does not fit the network.
    """
    try:
        state = fetch() if weights is None else read_tensors(weights)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"The person detector's weights cannot be downloaded ({reason}).\n{INSTEAD}"
        ) from error
    net = detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{weights or 'The downloaded file'} does not fit fasterrcnn_mobilenet_v3_large_320_fpn. {INSTEAD}"
        ) from error
    return Detector(net, device=device)
