"""How the person's left, right and middle look, everywhere: one color and one shape each, told apart without color too.

Orange and blue are the pair that people with any color blindness tell apart. The style sheet has the same colors as
variables (--ps-left-photo and so on); a test compares them.
"""

from posestudio.core.skeleton import Skeleton

LEFT, RIGHT, CENTER = "left", "right", "center"

SHAPES = {LEFT: "circle", RIGHT: "square", CENTER: "diamond"}

ON_PHOTO = {LEFT: "#f28c1e", RIGHT: "#2b8cea", CENTER: "#a9b4c0"}
"""Colors over photographs and heatmaps, with a dark rim around each mark."""

IN_TEXT = {
    "light": {LEFT: "#b04f00", RIGHT: "#0b63ba", CENTER: "#566372"},
    "dark": {LEFT: "#ffab52", RIGHT: "#6db8ff", CENTER: "#b4c0cc"},
}
"""Colors of words and small marks on the page, each 4.5:1 or more against it."""


def of(skeleton: Skeleton) -> list[str]:
    """LEFT, RIGHT or CENTER for each of K keypoints; the sides are the person's own."""
    found = [CENTER] * len(skeleton.keypoints)
    for left, right in skeleton.pairs:
        found[left], found[right] = LEFT, RIGHT
    return found


def variables(theme: str) -> dict[str, str]:
    """The style sheet's variables in the "light" or "dark" theme: name -> color."""
    found = {f"--ps-{side}": color for side, color in IN_TEXT[theme].items()}
    return found | {f"--ps-{side}-photo": color for side, color in ON_PHOTO.items()}
