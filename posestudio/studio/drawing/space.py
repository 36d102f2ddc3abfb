"""Space for rendered people: rotations, directions and the camera.

The view frame is x right, y up, z towards the viewer; angles are in degrees; a length of 1 is a body's height.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
DOWN = np.array([0.0, -1.0, 0.0])
UP = np.array([0.0, 1.0, 0.0])
FORWARD = np.array([0.0, 0.0, 1.0])
ASIDE = np.array([1.0, 0.0, 0.0])


def turn(axis: int, degrees: float) -> Array:
    """(3, 3) right-handed rotation about axis 0 x, 1 y or 2 z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


@dataclass(frozen=True, slots=True)
class Camera:
    """Orthographic view: pixels per body height, the image point of the ground below the body, downward pitch."""

    scale: float
    x: float
    ground: float
    pitch: float

    def project(self, point: Array) -> Array:
        """(..., 3) view-frame points to (..., 3) image x, y and depth in pixels."""
        seen = np.asarray(point) @ turn(0, self.pitch).T * self.scale
        return np.stack([self.x + seen[..., 0], self.ground - seen[..., 1], seen[..., 2]], -1)
