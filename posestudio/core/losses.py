"""What a heatmap costs."""

from torch import Tensor


def heatmap_mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error of heatmaps, each keypoint weighted.

    Half the squared difference, averaged over people, keypoints and cells; a keypoint with weight 0 adds nothing,
    neither loss nor gradient, but counts in the average.

    Args:
        prediction: (B, K, H, W).
        target: (B, K, H, W).
        weight: (B, K), multiplies both maps before they are compared, so a keypoint counts by its square.

    Returns:
        A scalar.

    Source: JointsMSELoss of Xiao et al. 2018 (arXiv 1804.06208) as used by PoseDual (Xie et al., ICCV 2021).
    """
    difference = (prediction - target) * weight[..., None, None]
    return 0.5 * difference.square().mean()
