"""The network: a torchvision backbone, the heatmap head, and their weights on disk.

To add a backbone: one row in `backbones.ROWS` and its name in `config.Backbone`. Images come in normalized
(core/augment.py); heatmaps go out at a quarter of the crop's height and width.
"""
